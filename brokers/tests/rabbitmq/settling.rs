//! The consumer loop on RabbitMQ: what it settles, and what the trace says of it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ctxhop::{
    carrier::Carrier,
    clients::lapin_4::confirmed,
    messaging::{Policy, Settlement, Tally, Verdict},
};
use ctxhop_brokers::rig::{Rig, attribute};
use futures::{StreamExt, future::pending};
use lapin::{
    BasicProperties, Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions},
    types::{AMQPValue, FieldTable},
};
use opentelemetry::{Value, trace::Status};
use tokio::{sync::Notify, time::timeout};

use crate::{
    LIMIT,
    broker::{Broker, next},
};

fn arguments<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert(key.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

async fn send(rig: &Rig, broker: &Broker, body: &str) {
    let mut properties = BasicProperties::default().with_message_id("17".into()).with_delivery_mode(2);
    let send = rig.destination("rabbitmq", "orders").send(&mut properties).on_ok(confirmed);
    send.run_async(|| broker.publish(properties, body)).await.unwrap();
}

/// Handles so many deliveries.
async fn handle<F: Future<Output = io::Result<()>>>(
    rig: &Rig,
    broker: &Broker,
    deliveries: usize,
    attempts: u64,
    handler: impl Fn(Delivery) -> F,
) -> Tally {
    let deliveries = broker.consume().await.take(deliveries);
    let policy = Policy::within(LIMIT).attempts(attempts);
    let each = rig.destination("rabbitmq", "orders").try_process_each(deliveries, handler, policy);
    timeout(LIMIT, each).await.expect("a loop that ends").unwrap()
}

/// The delivery counts of the attempts.
fn counts(rig: &Rig) -> Vec<Option<i64>> {
    let count = |span| match attribute(span, "ctxhop.delivery_count")? {
        Value::I64(count) => Some(count),
        other => panic!("{other:?}"),
    };
    rig.spans("process orders").iter().map(count).collect()
}

fn failed() -> io::Error {
    io::Error::other("no apples")
}

#[tokio::test]
async fn a_message_is_sent_processed_and_settled_in_one_trace() {
    let (rig, broker) = (Rig::new(), Broker::new("orders").await);
    send(&rig, &broker, "two apples").await;
    let tally = handle(&rig, &broker, 1, 1, async |delivery| {
        assert_eq!(delivery.data, b"two apples");
        Ok(())
    })
    .await;
    assert_eq!(tally.acked, 1);
    assert_eq!(
        rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         └─ process orders [consumer] ~> send orders"
    );
    let process = &rig.spans("process orders")[0];
    for (key, value) in [
        ("messaging.message.id", Value::from("17")),
        ("messaging.message.body.size", Value::from(10)),
        ("messaging.rabbitmq.destination.routing_key", Value::from("orders")),
        ("messaging.rabbitmq.message.delivery_tag", Value::from(1)),
        ("messaging.destination.name", Value::from("orders")),
    ] {
        assert_eq!(attribute(process, key), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_quorum_queue_counts_the_attempts() {
    let rig = Rig::new();
    let quorum = arguments([("x-queue-type", text("quorum"))]);
    let broker = Broker::durable("settling.quorum", quorum).await;
    send(&rig, &broker, "two apples").await;
    let tally = handle(&rig, &broker, 3, 3, async |_| Err(failed())).await;
    assert_eq!((tally.retried, tally.rejected), (2, 1));
    assert_eq!(counts(&rig), [Some(1), Some(2), Some(3)]);
    rig.assert_no_attribute_twice();
    rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_classic_queue_tells_the_first_attempt_from_others() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.classic").await);
    send(&rig, &broker, "two apples").await;
    let tally = handle(&rig, &broker, 2, 2, async |_| Err(failed())).await;
    assert_eq!((tally.retried, tally.rejected), (1, 1));
    // That it is not the first attempt does not make it the second one.
    assert_eq!(counts(&rig), [Some(1), None]);
    rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_producer_that_writes_a_count_neither_spares_nor_saves_its_message() {
    let forgeries = [("low", -5, None), ("none", 0, Some(2)), ("high", 40, Some(41))];
    for (name, forged, believed) in forgeries {
        let (rig, broker) = (Rig::new(), Broker::new(&format!("settling.forged.{name}")).await);
        let headers = arguments([("x-delivery-count", AMQPValue::LongLongInt(forged))]);
        broker.publish(BasicProperties::default().with_headers(headers), "two apples").await.unwrap();
        let tally = handle(&rig, &broker, 2, 2, async |_| Err(failed())).await;
        assert_eq!((tally.retried, tally.rejected), (1, 1), "{name}");
        assert_eq!(counts(&rig), [Some(1), believed], "{name}");
    }
}

#[tokio::test]
async fn an_unsettled_delivery_keeps_its_place_until_the_channel_is_closed() {
    let broker = Broker::durable("settling.unsettled", FieldTable::default()).await;
    broker.channel.basic_qos(1, Default::default()).await.unwrap();
    for body in ["first", "second"] {
        broker.publish(BasicProperties::default(), body).await.unwrap();
    }
    let mut consumer = broker.consume().await;
    drop(next(&mut consumer).await);
    // The second one was not sent to the consumer, which takes one at a time.
    let other = broker.connection.create_channel().await.unwrap();
    let get = async || other.basic_get(broker.queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap();
    assert_eq!(get().await.unwrap().delivery.data, b"second");
    assert!(get().await.is_none());
    broker.channel.close(200, "done".into()).await.unwrap();
    let first = get().await.expect("it is back").delivery;
    assert_eq!((first.data.as_slice(), first.redelivered), (b"first".as_slice(), true));
}

#[tokio::test]
async fn a_rejected_message_is_a_dead_letter_of_the_same_trace() {
    let (rig, dead) = (Rig::new(), Broker::new("settling.dead").await);
    let to_dead =
        arguments([("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("settling.dead"))]);
    let broker = Broker::with_arguments("settling.alive", to_dead).await;
    send(&rig, &broker, "two apples").await;
    assert_eq!(handle(&rig, &broker, 1, 1, async |_| Err(failed())).await.rejected, 1);
    let tally = handle(&rig, &dead, 1, 1, async |delivery| {
        let headers = delivery.properties.headers().as_ref().unwrap();
        assert!(matches!(headers.inner()["x-death"], AMQPValue::FieldArray(_)), "{headers:?}");
        assert_eq!(delivery.get_all("traceparent").count(), 1);
        Ok(())
    })
    .await;
    assert_eq!(tally.acked, 1);
    assert_eq!(
        rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         ├─ process orders [consumer] ERROR: no apples ~> send orders\n\
         ├─ process orders [consumer] ~> send orders\n\
         └─ reject orders [client] ~> send orders"
    );
}

#[tokio::test]
async fn a_handler_that_panics_has_its_message_again() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.panic").await);
    send(&rig, &broker, "two apples").await;
    let tally = handle(&rig, &broker, 2, 3, async |delivery| {
        assert!(delivery.redelivered, "no apples");
        Ok(())
    })
    .await;
    assert_eq!((tally.panicked, tally.retried, tally.acked), (1, 1, 1));
    assert_eq!(rig.spans("process orders")[0].status, Status::error("panicked"));
    rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_cancelled_loop_leaves_its_message_to_others() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.cancelled").await);
    send(&rig, &broker, "two apples").await;
    let begun = Arc::new(Notify::new());
    let each = handle(&rig, &broker, 1, 1, async |_| {
        begun.notify_one();
        pending().await
    });
    tokio::select! {
        _ = each => unreachable!("the handler never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(rig.spans("process orders")[0].status, Status::error("cancelled"));
    broker.channel.close(200, "".into()).await.unwrap();

    let again = Broker::new("settling.cancelled").await;
    assert_eq!(handle(&rig, &again, 1, 1, async |_| Ok(())).await.acked, 1);
    rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_connection_that_is_lost_in_between_fails_the_settlement() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.lost").await);
    send(&rig, &broker, "two apples").await;
    let deliveries = broker.consume().await.take(1);
    let connection = &broker.connection;
    let close = async |_| connection.close(200, "".into()).await;
    let orders = rig.destination("rabbitmq", "orders");
    let tally =
        timeout(LIMIT, orders.try_process_each(deliveries, close, Policy::within(LIMIT))).await.unwrap().unwrap();
    assert_eq!(tally.unsettled, 1);
    let ack = &rig.spans("ack orders")[0];
    assert!(matches!(ack.status, Status::Error { .. }), "{:?}", ack.status);

    let again = Broker::new("settling.lost").await;
    assert_eq!(handle(&rig, &again, 1, 1, async |_| Ok(())).await.acked, 1);
    rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_handler_that_settles_leaves_nothing_to_settle() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.twice").await);
    send(&rig, &broker, "two apples").await;
    let tally = handle(&rig, &broker, 1, 1, async |delivery| {
        assert!(delivery.ack(BasicAckOptions::default()).await.unwrap());
        Ok(())
    })
    .await;
    assert_eq!(tally.unsettled, 1);
    let said = Status::error("the delivery was settled before, or its channel is closed");
    assert_eq!(rig.spans("ack orders")[0].status, said);
}

#[tokio::test]
async fn what_the_broker_does_not_take_is_a_failure() {
    let rig = Rig::new();
    let full = arguments([("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", text("reject-publish"))]);
    let broker = Broker::with_arguments("settling.full", full).await;
    for body in ["one apple", "two apples"] {
        send(&rig, &broker, body).await;
    }
    let sent = rig.spans("send orders");
    assert_eq!(sent[0].status, Status::Unset);
    assert_eq!(sent[1].status, Status::error("the broker did not take the message"));
    assert_eq!(attribute(&sent[1], "error.type"), Some(Value::from("nack")));
}

#[tokio::test]
async fn what_the_broker_returns_is_a_failure() {
    async fn publish(channel: &Channel, properties: BasicProperties) -> lapin::Result<lapin::Confirmation> {
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        channel.basic_publish("".into(), "settling.nowhere".into(), mandatory, b"", properties).await?.await
    }

    let (rig, broker) = (Rig::new(), Broker::new("settling.returned").await);
    let orders = rig.destination("rabbitmq", "orders");
    let mut properties = BasicProperties::default();
    let send = orders.send(&mut properties).on_ok(confirmed);
    let confirmation = send.run_async(|| publish(&broker.channel, properties)).await.unwrap();
    let sent = &rig.spans("send orders")[0];
    assert_eq!(sent.status, Status::error("312 NO_ROUTE"));
    assert_eq!(attribute(sent, "error.type"), Some(Value::from("returned")));

    // What is returned can be sent elsewhere, and is in the same trace.
    let returned = confirmation.take_message().unwrap();
    orders.process(&returned).run(|| ());
    rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_batch_links_to_each_message_and_is_settled_at_once() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.batch").await);
    let orders = rig.destination("rabbitmq", "orders");
    for body in ["one apple", "two apples", "three apples"] {
        send(&rig, &broker, body).await;
    }
    let mut batch = Vec::new();
    while batch.len() < 3 {
        batch.extend(broker.channel.basic_get("settling.batch".into(), BasicGetOptions::default()).await.unwrap());
    }
    orders.process_batch(&batch).run(|| ());
    let all = BasicAckOptions { multiple: true };
    let last = batch.last().unwrap();
    let settle = orders.settle_batch(Settlement::Ack, &batch);
    assert!(settle.run_async(|| last.ack(all)).await.unwrap());
    assert_eq!(
        rig.drawing(),
        "ack orders [client] ~> send orders ×3\n\
         process orders [consumer] ~> send orders ×3\n\
         send orders [producer]\n\
         send orders [producer]\n\
         send orders [producer]"
    );
}

#[tokio::test]
async fn a_policy_decides_by_the_result() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.decides").await);
    for body in ["apples", "pears"] {
        send(&rig, &broker, body).await;
    }
    let handled = AtomicUsize::new(0);
    let handler = async |delivery: Delivery| {
        handled.fetch_add(1, Ordering::Relaxed);
        if delivery.data == b"pears" { Err(failed()) } else { Ok(()) }
    };
    let policy = Policy::within(LIMIT).at_once(2).decide(|result: &io::Result<()>| match result {
        Ok(()) => Verdict::Ack,
        Err(_) => Verdict::Reject,
    });
    let deliveries = broker.consume().await.take(2);
    let each = rig.destination("rabbitmq", "orders").try_process_each(deliveries, handler, policy);
    let tally = timeout(LIMIT, each).await.unwrap().unwrap();
    assert_eq!((tally.acked, tally.rejected, handled.load(Ordering::Relaxed)), (1, 1, 2));
}

#[tokio::test]
async fn nothing_is_left_unsettled_after_a_get() {
    let (rig, broker) = (Rig::new(), Broker::new("settling.get").await);
    send(&rig, &broker, "two apples").await;
    let got = broker.channel.basic_get("settling.get".into(), BasicGetOptions::default()).await.unwrap().unwrap();
    let one = futures::stream::iter([got.delivery]);
    let orders = rig.destination("rabbitmq", "orders");
    assert_eq!(orders.process_each(one, async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT)).await.acked, 1);
    let again = broker.channel.basic_get("settling.get".into(), BasicGetOptions::default()).await.unwrap();
    assert!(again.is_none());
}
