//! Records that nobody settles: none of them is passed by.

use std::{pin::pin, sync::Mutex};

use ctxhop::{
    clients::rdkafka_0_39::{Consumed, records},
    messaging::{Delivered, Policy},
};
use ctxhop_brokers::{kafka::Kafka, rig::Rig};
use futures::{FutureExt, Stream, StreamExt, future::pending};
use rdkafka::{
    Message, Offset,
    consumer::{CommitMode, Consumer, DefaultConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult},
    message::OwnedMessage,
    producer::FutureRecord,
    types::RDKafkaErrorCode,
    util::DefaultRuntime,
};
use tokio::{sync::Notify, time::timeout};

use crate::{LIMIT, deliver};

type Record<'c> = Consumed<'c, DefaultConsumerContext, DefaultRuntime>;

/// A consumer of a topic with so many records.
async fn filled(kafka: &Kafka, records: usize) -> StreamConsumer {
    let producer = kafka.producer("orders");
    for _ in 0..records {
        deliver(&producer, FutureRecord::<str, str>::to("orders").payload("two apples")).await.unwrap();
    }
    kafka.consumer("orders")
}

/// The next records, and their offsets.
async fn take<'c, const N: usize>(
    stream: &mut (impl Stream<Item = KafkaResult<Record<'c>>> + Unpin),
) -> ([Option<Record<'c>>; N], [i64; N]) {
    let mut taken = [const { None }; N];
    for place in &mut taken {
        *place = Some(timeout(LIMIT, stream.next()).await.expect("a record in time").unwrap().unwrap());
    }
    let offsets = taken.each_mut().map(|record| record.as_mut().unwrap().message().offset());
    (taken, offsets)
}

/// What the group would go on with.
fn committed(consumer: &StreamConsumer) -> Offset {
    consumer.commit_consumer_state(CommitMode::Sync).ok();
    consumer.committed(LIMIT).unwrap().find_partition("orders", 0).unwrap().offset()
}

/// In which order three records can be settled.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[tokio::test]
async fn what_a_dropped_loop_had_in_hand_is_read_again() {
    const STUCK: i64 = 1;
    for (at_once, last) in [(1, STUCK), (4, 3)] {
        let (rig, kafka) = (Rig::new(), Kafka::new());
        let consumer = filled(&kafka, 4).await;
        let orders = rig.destination("kafka", "orders");
        let policy = Policy::within(LIMIT).at_once(at_once);

        let begun = Notify::new();
        let handler = async |message: OwnedMessage| {
            if message.offset() == last {
                begun.notify_one();
            }
            if message.offset() == STUCK {
                pending().await
            }
        };
        let stuck = orders.try_process_each(records(&consumer).unwrap(), handler, policy.clone());
        tokio::select! {
            _ = stuck => unreachable!("a handler never ends"),
            () = begun.notified() => {}
        }
        assert_eq!(committed(&consumer), Offset::Offset(STUCK), "{at_once} at once");

        let seen = Mutex::new(Vec::new());
        let handler = async |message: OwnedMessage| seen.lock().unwrap().push(message.offset());
        let rest = orders.try_process_each(records(&consumer).unwrap().take(3), handler, policy);
        let tally = timeout(LIMIT, rest).await.expect("a loop that ends").unwrap();
        assert_eq!(*seen.lock().unwrap(), [1, 2, 3], "{at_once} at once");
        assert_eq!((tally.acked, committed(&consumer)), (3, Offset::Offset(4)), "{at_once} at once");
    }
}

#[tokio::test]
async fn records_are_acknowledged_in_any_order_and_none_before_it_is_done() {
    for order in ORDERS {
        let kafka = Kafka::new();
        let consumer = filled(&kafka, 3).await;
        let mut stream = pin!(records(&consumer).unwrap());
        let (mut taken, offsets) = take::<3>(&mut stream).await;
        assert_eq!(offsets, [0, 1, 2]);
        for at in order {
            taken[at].take().unwrap().ack().await.unwrap();
            let done = taken.iter().take_while(|record| record.is_none()).count();
            let expected = if done == 0 { Offset::Invalid } else { Offset::Offset(done as i64) };
            assert_eq!(committed(&consumer), expected, "{order:?}");
        }
    }
}

#[tokio::test]
async fn records_are_dropped_in_any_order_and_are_read_again_from_the_first() {
    for order in ORDERS {
        let kafka = Kafka::new();
        let consumer = filled(&kafka, 4).await;
        let mut stream = pin!(records(&consumer).unwrap());
        let (mut taken, _) = take::<3>(&mut stream).await;
        for at in order {
            drop(taken[at].take());
        }
        let (taken, offsets) = take::<4>(&mut stream).await;
        assert_eq!(offsets, [0, 1, 2, 3], "{order:?}");
        for record in taken {
            record.unwrap().ack().await.unwrap();
        }
        assert_eq!(committed(&consumer), Offset::Offset(4), "{order:?}");
    }
}

#[tokio::test]
async fn a_record_that_fails_holds_back_those_after_it_and_not_those_before() {
    let kafka = Kafka::new();
    let consumer = filled(&kafka, 3).await;
    let mut stream = pin!(records(&consumer).unwrap());
    let ([first, second, third], _) = take::<3>(&mut stream).await;
    // It is ready at once: no thread of a runtime waits for Kafka.
    second.unwrap().retry().now_or_never().expect("no wait").unwrap();
    // It is done now, and will be read again all the same.
    third.unwrap().ack().await.unwrap();
    assert_eq!(committed(&consumer), Offset::Invalid);
    let ([again, after], offsets) = take::<2>(&mut stream).await;
    assert_eq!(offsets, [1, 2]);
    after.unwrap().ack().await.unwrap();
    assert_eq!(committed(&consumer), Offset::Invalid);
    first.unwrap().ack().await.unwrap();
    assert_eq!(committed(&consumer), Offset::Offset(1));
    again.unwrap().ack().await.unwrap();
    assert_eq!(committed(&consumer), Offset::Offset(3));
}

/// By hand, as for a replay, or by a rebalance.
#[tokio::test]
async fn a_record_of_an_earlier_reading_settles_nothing() {
    let kafka = Kafka::new();
    let consumer = filled(&kafka, 3).await;
    let mut stream = pin!(records(&consumer).unwrap());
    let ([first, second, third], _) = take::<3>(&mut stream).await;
    first.unwrap().ack().await.unwrap();
    consumer.seek("orders", 0, Offset::Offset(0), LIMIT).unwrap();
    let ([zeroth], _) = take::<1>(&mut stream).await;
    third.unwrap().ack().await.unwrap();
    drop(second);
    assert_eq!(committed(&consumer), Offset::Offset(1));
    // It did not seek.
    let ([one, two], offsets) = take::<2>(&mut stream).await;
    assert_eq!(offsets, [1, 2]);
    for record in [zeroth, one, two] {
        record.unwrap().ack().await.unwrap();
    }
    assert_eq!(committed(&consumer), Offset::Offset(3));
}

#[tokio::test]
async fn a_partition_that_is_gone_takes_no_ack() {
    let kafka = Kafka::new();
    let consumer = filled(&kafka, 2).await;
    let assigned = consumer.assignment().unwrap();
    let mut stream = pin!(records(&consumer).unwrap());
    let ([record], _) = take::<1>(&mut stream).await;
    consumer.unassign().unwrap();
    let refused = record.unwrap().ack().await.unwrap_err();
    assert!(matches!(refused, KafkaError::StoreOffset(RDKafkaErrorCode::State)), "{refused:?}");
    consumer.assign(&assigned).unwrap();
    let ([first, second], offsets) = take::<2>(&mut stream).await;
    assert_eq!(offsets, [0, 1]);
    for record in [first, second] {
        record.unwrap().ack().await.unwrap();
    }
    assert_eq!(committed(&consumer), Offset::Offset(2));
}

#[tokio::test]
async fn a_consumer_that_stores_offsets_by_itself_is_refused() {
    let kafka = Kafka::new();
    for (setting, refused) in [(None, true), (Some("true"), true), (Some("false"), false)] {
        let mut config = kafka.config();
        config.set("group.id", "orders");
        if let Some(setting) = setting {
            config.set("enable.auto.offset.store", setting);
        }
        let consumer: StreamConsumer = config.create().unwrap();
        let error = records(&consumer).err();
        assert_eq!(error.is_some(), refused, "{setting:?}: {error:?}");
        if refused {
            assert_eq!(error, Some(KafkaError::StoreOffset(RDKafkaErrorCode::InvalidArgument)));
        }
    }
}
