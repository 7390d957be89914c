//! The consumer loop on Kafka: offsets that are stored, and records that are read again.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use ctxhop::{
    clients::rdkafka_0_39::{delivered, records},
    messaging::{Policy, Tally},
};
use ctxhop_brokers::{
    kafka::Kafka,
    rig::{Rig, attribute},
};
use futures::{StreamExt, future::pending};
use opentelemetry::{Value, trace::Status};
use rdkafka::{
    Message, Offset,
    consumer::{CommitMode, Consumer, StreamConsumer},
    message::OwnedMessage,
    producer::FutureRecord,
};
use tokio::{sync::Notify, time::timeout};

use crate::{LIMIT, deliver};

async fn send(rig: &Rig, kafka: &Kafka, bodies: &[&str]) {
    let producer = kafka.producer("orders");
    for body in bodies {
        let mut record = FutureRecord::to("orders").key("17").payload(*body);
        let send = rig.destination("kafka", "orders").send(&mut record).on_ok(delivered);
        send.run_async(|| deliver(&producer, record)).await.unwrap();
    }
}

/// Handles so many records.
async fn handle<F: Future<Output = io::Result<()>>>(
    rig: &Rig,
    consumer: &StreamConsumer,
    deliveries: usize,
    handler: impl Fn(OwnedMessage) -> F,
) -> Tally {
    let orders = rig.destination("kafka", "orders").consumer_group("billing");
    let each = orders.try_process_each(records(consumer).unwrap().take(deliveries), handler, Policy::within(LIMIT));
    timeout(LIMIT, each).await.expect("a loop that ends").unwrap()
}

/// What the group would go on with.
fn committed(consumer: &StreamConsumer) -> Option<Offset> {
    consumer.commit_consumer_state(CommitMode::Sync).ok();
    let offsets = consumer.committed(LIMIT).unwrap();
    offsets.find_partition("orders", 0).map(|partition| partition.offset())
}

#[tokio::test]
async fn a_consumer_of_many_topics_says_of_which_the_record_is() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    send(&rig, &kafka, &["two apples", "a pear"]).await;
    let consumer = kafka.consumer("orders");
    for name in ["orders", "^.*s$"] {
        let one = records(&consumer).unwrap().take(1);
        rig.destination("kafka", name)
            .try_process_each(one, async |_| io::Result::Ok(()), Policy::within(LIMIT))
            .await
            .unwrap();
    }
    for process in rig.spans("process orders").iter().chain(&rig.spans("process ^.*s$")) {
        assert_eq!(attribute(process, "messaging.destination.name"), Some(Value::from("orders")));
        let template = (process.name != "process orders").then(|| Value::from("^.*s$"));
        assert_eq!(attribute(process, "messaging.destination.template"), template);
    }
    assert_eq!((rig.spans("process orders").len(), rig.spans("process ^.*s$").len()), (1, 1));
}

#[tokio::test]
async fn a_record_is_sent_processed_and_settled_in_one_trace() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    send(&rig, &kafka, &["two apples"]).await;
    let consumer = kafka.consumer("orders");
    let tally = handle(&rig, &consumer, 1, async |message| {
        assert_eq!(message.payload(), Some(b"two apples".as_slice()));
        Ok(())
    })
    .await;
    assert_eq!(tally.acked, 1);
    assert_eq!(committed(&consumer), Some(Offset::Offset(1)));
    assert_eq!(
        rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         └─ process orders [consumer] ~> send orders"
    );
    let sent = &rig.spans("send orders")[0];
    assert_eq!(attribute(sent, "messaging.destination.partition.id"), Some(Value::from("0")));
    assert_eq!(attribute(sent, "messaging.kafka.offset"), Some(Value::from(0)));
    let process = &rig.spans("process orders")[0];
    for (key, value) in [
        ("messaging.destination.partition.id", Value::from("0")),
        ("messaging.kafka.offset", Value::from(0)),
        ("messaging.kafka.message.key", Value::from("17")),
        ("messaging.message.body.size", Value::from(10)),
    ] {
        assert_eq!(attribute(process, key), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_record_that_fails_is_read_again_with_all_after_it() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    send(&rig, &kafka, &["one", "two", "three"]).await;
    let consumer = kafka.consumer("orders");
    let (attempts, seen) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let tally = handle(&rig, &consumer, 5, async |message| {
        seen.lock().unwrap().push(message.offset());
        if message.offset() == 1 && attempts.fetch_add(1, Ordering::Relaxed) < 2 {
            return Err(io::Error::other("no apples"));
        }
        Ok(())
    })
    .await;
    assert_eq!((tally.acked, tally.retried), (3, 2));
    assert_eq!(*seen.lock().unwrap(), [0, 1, 1, 1, 2]);
    assert_eq!(committed(&consumer), Some(Offset::Offset(3)));
    for root in rig.tree().roots() {
        assert_eq!(root.name(), "send orders");
    }
}

#[tokio::test]
async fn a_panic_is_retried_and_a_cancelled_loop_stores_nothing() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    send(&rig, &kafka, &["two apples"]).await;
    let consumer = kafka.consumer("orders");
    let begun = Notify::new();
    let stuck = handle(&rig, &consumer, 2, async |_| {
        if rig.spans("process orders").is_empty() {
            panic!("no apples");
        }
        begun.notify_one();
        pending().await
    });
    tokio::select! {
        _ = stuck => unreachable!("the second handler never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(committed(&consumer), Some(Offset::Invalid));
    let statuses: Vec<_> = rig.spans("process orders").into_iter().map(|span| span.status).collect();
    assert_eq!(statuses, [Status::error("panicked"), Status::error("cancelled")]);
    rig.tree().assert_single_trace();
}
