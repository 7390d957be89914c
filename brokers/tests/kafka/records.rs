//! What only Kafka has: tombstones, positions, and batches that are committed at once.

use ctxhop::messaging::{Relation, Settlement};
use ctxhop_brokers::{kafka::Kafka, rig::Rig};
use rdkafka::{
    Message, Offset,
    consumer::{CommitMode, Consumer},
    producer::FutureRecord,
};

use crate::{LIMIT, deliver, next};

#[tokio::test]
async fn a_tombstone_carries_its_context() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let producer = kafka.producer("orders");
    let orders = rig.destination("kafka", "orders");
    let mut record = FutureRecord::<str, str>::to("orders").key("17");
    orders.send(&mut record).run_async(|| deliver(&producer, record)).await.unwrap();
    let consumer = kafka.consumer("orders");
    let message = next(&consumer).await;
    assert_eq!(message.payload(), None);
    orders.process(&message).run(|| ());
    assert_eq!(rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
}

#[tokio::test]
async fn what_is_read_again_is_in_the_same_trace() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let producer = kafka.producer("orders");
    let orders = rig.destination("kafka", "orders");
    for _ in 0..2 {
        let mut record = FutureRecord::<str, str>::to("orders").payload("two apples");
        orders.send(&mut record).run_async(|| deliver(&producer, record)).await.unwrap();
    }
    let consumer = kafka.consumer("orders");
    for _ in 0..2 {
        orders.process(&next(&consumer).await).run(|| ());
    }
    consumer.seek("orders", 0, Offset::Offset(0), LIMIT).unwrap();
    for offset in 0..2 {
        let message = next(&consumer).await;
        assert_eq!(message.offset(), offset);
        orders.process(&message).run(|| ());
    }
    let twice = "send orders [producer]\n\
                 ├─ process orders [consumer] ~> send orders\n\
                 └─ process orders [consumer] ~> send orders";
    assert_eq!(rig.drawing(), format!("{twice}\n{twice}"));
}

#[tokio::test]
async fn a_batch_links_to_each_of_its_records() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let producer = kafka.producer("orders");
    let orders = rig.destination("kafka", "orders").relation(Relation::Parent);
    for _ in 0..3 {
        let mut record = FutureRecord::<str, str>::to("orders").payload("two apples");
        orders.send(&mut record).run_async(|| deliver(&producer, record)).await.unwrap();
    }
    let consumer = kafka.consumer("orders");
    let mut batch = Vec::new();
    while batch.len() < 3 {
        batch.push(next(&consumer).await);
    }
    orders.operation_name("poll").receive(&batch).run(|| {
        for message in &batch {
            orders.process(message).after_receive().run(|| ());
        }
    });
    let poll = "poll orders [client] ~> send orders ×3";
    let each = "send orders [producer]\n└─ process orders [consumer] ~> poll orders, send orders";
    assert_eq!(rig.drawing(), format!("{poll}\n{each}\n{each}\n{each}"));

    let last = batch.last().unwrap();
    let commit = orders.settle_batch(Settlement::Other("commit"), &batch);
    commit.run(|| consumer.commit_message(last, CommitMode::Sync)).unwrap();
    let committed = consumer.committed(LIMIT).unwrap();
    assert_eq!(committed.find_partition("orders", 0).unwrap().offset(), Offset::Offset(3));
    let tree = rig.tree();
    assert_eq!(tree.find("commit orders").unwrap().span().links.len(), 3);
}
