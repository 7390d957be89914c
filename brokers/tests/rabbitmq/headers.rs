//! What RabbitMQ makes of headers.

use ctxhop::{
    Snapshot,
    carrier::{self, Carrier},
    messaging::{Delivered, Policy},
};
use ctxhop_brokers::rig::{Rig, propagator};
use lapin::{
    BasicProperties, ExchangeKind,
    message::Delivery,
    options::{BasicGetOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions},
    types::{AMQPValue, DecimalValue, FieldArray, FieldTable},
};
use opentelemetry::{Context, KeyValue, baggage::BaggageExt};
use tokio::time::timeout;

use crate::{
    LIMIT,
    broker::{Broker, next},
};

/// All that a table may have, besides a context.
fn every_type() -> FieldTable {
    let mut nested = FieldTable::default();
    nested.insert("traceparent".into(), AMQPValue::LongString("nested".into()));
    let values = [
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(-7),
        AMQPValue::ShortShortUInt(7),
        AMQPValue::ShortInt(-7),
        AMQPValue::ShortUInt(7),
        AMQPValue::LongInt(-7),
        AMQPValue::LongUInt(7),
        AMQPValue::LongLongInt(-7),
        AMQPValue::Float(0.5),
        AMQPValue::Double(0.5),
        AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 7 }),
        AMQPValue::LongString(vec![0xff].into()),
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::Void, AMQPValue::LongString("nested".into())])),
        AMQPValue::Timestamp(7),
        AMQPValue::FieldTable(nested),
        AMQPValue::ByteArray(vec![0xff].into()),
        AMQPValue::Void,
    ];
    let mut table = FieldTable::default();
    for (at, value) in values.into_iter().enumerate() {
        table.insert(format!("value-{at}").as_str().into(), value);
    }
    table
}

#[tokio::test]
async fn a_context_travels_among_every_type_of_value() {
    let (rig, broker) = (Rig::new(), Broker::new("headers.every-type").await);
    let orders = rig.destination("rabbitmq", "orders");
    let mut properties = BasicProperties::default().with_headers(every_type());
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a b;c,d=ü")]);
    let send = baggage.run(|| orders.send(&mut properties));
    send.run_async(|| broker.publish(properties, "two apples")).await.unwrap();

    let delivery = next(&mut broker.consume().await).await;
    orders.process(&delivery).run(|| {
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), "a b;c,d=ü");
    });
    assert_eq!(rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");

    // The server has some of the types by other names only: what counts is that none is lost, and none is text.
    let headers = delivery.properties.headers().as_ref().unwrap();
    assert_eq!(headers.inner().len(), every_type().inner().len() + 2, "{headers:?}");
    for key in every_type().inner().keys() {
        let values: Vec<_> = delivery.get_all(key.as_str()).collect();
        assert_eq!(values, [carrier::NOT_TEXT], "{key}");
    }
}

/// Quorum queues write a long one; a shovel or a federation may write another.
#[test]
fn a_count_of_any_integer_counts() {
    let counts = [
        (AMQPValue::ShortShortInt(2), Some(3)),
        (AMQPValue::ShortShortUInt(2), Some(3)),
        (AMQPValue::ShortInt(2), Some(3)),
        (AMQPValue::ShortUInt(2), Some(3)),
        (AMQPValue::LongInt(2), Some(3)),
        (AMQPValue::LongUInt(2), Some(3)),
        (AMQPValue::LongLongInt(2), Some(3)),
        (AMQPValue::LongLongInt(-2), None),
        (AMQPValue::Double(2.0), None),
    ];
    for (count, expected) in counts {
        let mut delivery = Delivery::mock(1, "".into(), "orders".into(), true, Vec::new());
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), count.clone());
        delivery.properties = BasicProperties::default().with_headers(headers);
        assert_eq!(delivery.delivery_count(), expected, "{count:?}");
    }
}

/// Why the carrier writes long strings.
#[tokio::test]
async fn a_short_string_as_a_value_ends_the_connection() {
    let broker = Broker::new("headers.short-string").await;
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::ShortString("00-…".into()));
    broker.publish(BasicProperties::default().with_headers(headers), "").await.unwrap_err();
    assert!(!broker.connection.status().connected());
}

/// Why a message may need `Limited`.
#[tokio::test]
async fn headers_have_to_fit_into_one_frame() {
    let broker = Broker::new("headers.frame").await;
    for (bytes, fits) in [(100 << 10, true), (200 << 10, false)] {
        let mut properties = BasicProperties::default();
        assert!(properties.set("note", "x".repeat(bytes)));
        let published = timeout(LIMIT, broker.publish(properties, "")).await.expect("an answer");
        assert_eq!(published.is_ok(), fits, "{bytes} bytes: {published:?}");
    }
}

#[tokio::test]
async fn a_topic_exchange_and_basic_get() {
    let (rig, broker) = (Rig::new(), Broker::new("headers.topic").await);
    let (exchange, key) = ("headers.events", "order.created.eu");
    let declare = ExchangeDeclareOptions::default();
    broker
        .channel
        .exchange_declare(exchange.into(), ExchangeKind::Topic, declare, FieldTable::default())
        .await
        .unwrap();
    let queue = broker.queue.as_str();
    let bind = QueueBindOptions::default();
    broker
        .channel
        .queue_bind(queue.into(), exchange.into(), "order.#".into(), bind, FieldTable::default())
        .await
        .unwrap();

    let mut properties = BasicProperties::default();
    let events = rig.destination("rabbitmq", exchange);
    let send = events.send(&mut properties);
    let options = BasicPublishOptions::default();
    let confirmation = send
        .run_async(async || {
            broker.channel.basic_publish(exchange.into(), key.into(), options, b"7", properties).await?.await
        })
        .await
        .unwrap();
    assert!(confirmation.is_ack());
    let message = broker.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().unwrap();
    let received = rig.destination("rabbitmq", queue);
    let one = futures::stream::iter([message.delivery]);
    received.process_each(one, async |_| Ok::<_, lapin::Error>(()), Policy::within(LIMIT)).await;
    rig.tree().assert_single_trace();
    // The span is named after the queue, of which there are few, and says the rest in the conventions' way.
    let process = rig.recorder.spans().into_iter().find(|span| span.name == "process headers.topic").unwrap();
    let name = process.attributes.iter().find(|attribute| attribute.key.as_str() == "messaging.destination.name");
    assert_eq!(name.unwrap().value.as_str(), "headers.events:order.created.eu:headers.topic");
}

#[tokio::test]
async fn two_sends_of_one_message_have_one_traceparent() {
    let (rig, broker) = (Rig::new(), Broker::new("headers.twice").await);
    let orders = rig.destination("rabbitmq", "orders");
    let mut properties = BasicProperties::default();
    for _ in 0..2 {
        let send = orders.send(&mut properties);
        send.run_async(|| broker.publish(properties.clone(), "two apples")).await.unwrap();
    }
    let mut consumer = broker.consume().await;
    for _ in 0..2 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.keys().collect::<Vec<_>>(), ["traceparent"]);
        assert!(carrier::try_extract_with(&propagator(), &delivery).is_ok());
    }
}
