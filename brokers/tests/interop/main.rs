//! Messages to and from Python, by Python's own instrumentation of its clients: one trace, flags and baggage kept.

mod mqtt;
mod python;

use std::time::Duration;

use async_nats::HeaderMap;
use ctxhop::{
    Snapshot,
    carrier::{self, Carrier, Headers},
    clients::redis_1::{Group, added},
    messaging::{Destination, Relation},
};
use ctxhop_brokers::{
    kafka::Kafka,
    nats::Nats,
    pubsub::PubSub,
    rabbitmq::RabbitMq,
    redis::Redis,
    rig::{Rig, propagator},
};
use futures::StreamExt;
use google_cloud_pubsub::model::Message;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    trace::{SpanContext, TraceContextExt},
};
use python::{Peer, Said};
use rdkafka::producer::FutureRecord;
use redis::AsyncTypedCommands;
use tokio::time::timeout;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What we say.
const TENANT: &str = "a b;c,d=ü";

/// What Python says. It writes a space as a plus, which W3C Baggage reads as a plus.
const TENANT_OF_PYTHON: &str = "a;b,c=ü";

fn with_baggage() -> Context {
    Context::new().with_baggage([KeyValue::new("tenant", TENANT)])
}

/// A message of Python's is in Python's trace, below its producer's span, with its flags and baggage. So is what we send on.
fn check_from_python(destination: &Destination, message: &impl Carrier, said: &Said) {
    let producer = said.spans("PRODUCER").chain(said.spans("INTERNAL")).next().expect("Python's span");
    let received = carrier::try_extract_with(&propagator(), message).unwrap();
    let received = received.span().span_context().clone();
    assert_eq!(received.trace_id().to_string(), producer.trace_id);
    assert_eq!(received.span_id().to_string(), producer.span_id);
    assert_eq!(received.trace_flags().to_u8(), 3, "Python's ids are random, and it says so");

    let mut on = Headers::new();
    destination.process(message).run(|| {
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), TENANT_OF_PYTHON);
        destination.send(&mut on).run(|| ());
    });
    let sent_on = carrier::try_extract_with(&propagator(), &on).unwrap();
    assert_eq!(sent_on.span().span_context().trace_id(), received.trace_id());
    assert_eq!(sent_on.span().span_context().trace_flags(), received.trace_flags());
    assert_eq!(sent_on.baggage().get("tenant").unwrap().as_str(), TENANT_OF_PYTHON);
}

/// Python has our trace, flags and baggage, and its consumer's span is a child of ours, or linked to it.
fn check_at_python(sent: &SpanContext, said: &Said) {
    let received = said.received();
    assert_eq!(received.trace_id, sent.trace_id().to_string(), "{said:?}");
    assert_eq!(received.flags, "01", "{said:?}");
    assert_eq!(received.baggage["tenant"], TENANT, "{said:?}");
    let ours = sent.span_id().to_string();
    let link = format!("{}-{ours}", sent.trace_id());
    let mut consumers = said.spans("CONSUMER").peekable();
    if consumers.peek().is_none() {
        assert_eq!(received.span_id, ours, "{said:?}");
    } else {
        // confluent-kafka's has no parent but a link, and the client's poll has a span as well.
        let knows_ours = consumers.any(|span| span.parent_id.as_ref() == Some(&ours) || span.links.contains(&link));
        assert!(knows_ours, "{said:?}");
    }
}

async fn channel(queue: &str) -> Channel {
    let connection = Connection::connect(&RabbitMq::shared().uri(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    channel
}

async fn rabbitmq(client: &str) {
    let rig = Rig::new();
    let orders = rig.destination("rabbitmq", "orders").relation(Relation::Parent);
    let address = RabbitMq::shared().uri();

    let queue = format!("from-{client}");
    let channel = channel(&queue).await;
    let said = Peer::start(client, "send", &address, &queue).said();
    let options = Default::default();
    let mut consumer =
        channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();
    let delivery = timeout(LIMIT, consumer.next()).await.unwrap().unwrap().unwrap();
    check_from_python(&orders, &delivery, &said);

    let queue = format!("to-{client}");
    let channel = self::channel(&queue).await;
    let mut properties = BasicProperties::default();
    let send = with_baggage().run(|| orders.send(&mut properties));
    let sent = send.context().span().span_context().clone();
    let options = BasicPublishOptions::default();
    let publish = async || {
        channel.basic_publish("".into(), queue.as_str().into(), options, b"two apples", properties).await?.await
    };
    send.run_async(publish).await.unwrap();
    check_at_python(&sent, &Peer::start(client, "receive", &address, &queue).said());
}

async fn kafka(client: &str) {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let orders = rig.destination("kafka", "orders").relation(Relation::Parent);
    let address = kafka.bootstrap_servers();

    kafka.create_topic("from");
    let said = Peer::start(client, "send", &address, "from").said();
    let consumer = kafka.consumer("from");
    let message = timeout(LIMIT, consumer.recv()).await.unwrap().unwrap();
    check_from_python(&orders, &message, &said);

    let producer = kafka.producer("to");
    let mut record = FutureRecord::to("to").key("17").payload("two apples");
    let send = with_baggage().run(|| orders.send(&mut record));
    let sent = send.context().span().span_context().clone();
    let produce = async || producer.send(record, LIMIT).await.map_err(|(error, _)| error);
    send.run_async(produce).await.unwrap();
    check_at_python(&sent, &Peer::start(client, "receive", &address, "to").said());
}

#[tokio::test(flavor = "multi_thread")]
async fn pika() {
    rabbitmq("pika").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aio_pika() {
    rabbitmq("aio-pika").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confluent_kafka() {
    kafka("confluent-kafka").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_python() {
    kafka("kafka-python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_py() {
    let (rig, nats) = (Rig::new(), Nats::start());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let orders = rig.destination("nats", "orders").relation(Relation::Parent);

    let mut messages = client.subscribe("from").await.unwrap();
    // Once it has a message, the server has its subscription.
    client.publish("from", "".into()).await.unwrap();
    messages.next().await.unwrap();
    let said = Peer::start("nats-py", "send", &nats.url(), "from").said();
    let message = timeout(LIMIT, messages.next()).await.unwrap().unwrap();
    check_from_python(&orders, &message, &said);

    let peer = Peer::start("nats-py", "receive", &nats.url(), "to").ready();
    let mut headers = HeaderMap::new();
    let send = with_baggage().run(|| orders.send(&mut headers));
    let sent = send.context().span().span_context().clone();
    send.run_async(|| client.publish_with_headers("to", headers, "two apples".into())).await.unwrap();
    check_at_python(&sent, &peer.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_py() {
    let (rig, redis) = (Rig::new(), Redis::start());
    let orders = rig.destination("redis", "orders").relation(Relation::Parent);
    let mut connection = redis.with_group("from", "billing").await;

    let said = Peer::start("redis-py", "send", &redis.url(), "from").said();
    let entries = Group::new("from", "billing").entries("worker-1", redis.connect().await, connection.clone());
    let mut entries = Box::pin(entries);
    let by_instrumentation = entries.next().await.unwrap().unwrap();
    assert_eq!(by_instrumentation.keys().collect::<Vec<_>>(), ["body"]);
    assert!(said.spans("CLIENT").count() >= 2, "it traces the commands");
    let by_hand = entries.next().await.unwrap().unwrap();
    check_from_python(&orders, &by_hand, &said);

    let mut fields = vec![("body".to_owned(), "two apples".to_owned())];
    let send = with_baggage().run(|| orders.send(&mut fields)).on_ok(added);
    let sent = send.context().span().span_context().clone();
    send.run_async(|| connection.xadd("to", "*", &fields)).await.unwrap();
    check_at_python(&sent, &Peer::start("redis-py", "receive", &redis.url(), "to").said());
}

/// Google's client for Python, with its option for OpenTelemetry: that carries the trace context, and no baggage.
#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_pubsub() {
    let (rig, pubsub) = (Rig::new(), PubSub::start(&["from/from", "to/to"]));
    let orders = rig.destination("gcp_pubsub", "orders").relation(Relation::Parent);

    let said = Peer::start("pubsub", "send", &pubsub.address(), "from").said();
    let mut messages = pubsub.messages("from").await;
    let (message, handler) = timeout(LIMIT, messages.next()).await.unwrap().unwrap().unwrap();
    check_from_python(&orders, &message, &said);
    handler.ack();

    let publisher = pubsub.publisher("to").await;
    let mut message = Message::new().set_data("two apples");
    let send = with_baggage().run(|| orders.send(&mut message));
    let sent = send.context().span().span_context().clone();
    send.run_async(|| publisher.publish(message)).await.unwrap();
    check_at_python(&sent, &Peer::start("pubsub", "receive", &pubsub.address(), "to").said());
}
