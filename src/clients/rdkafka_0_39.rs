#![doc = include_str!("rdkafka_0_39.md")]

mod partition;

use std::{
    collections::HashMap,
    fmt,
    future::ready,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    str::from_utf8,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, ConsumerContext, DefaultConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult},
    message::{
        BorrowedHeaders, BorrowedMessage, Header, Headers, Message, OwnedHeaders, OwnedMessage, Timestamp, ToBytes,
    },
    producer::{BaseRecord, FutureRecord, future_producer::Delivery},
    util::{DefaultRuntime, IntoOpaque},
};

use futures_core::Stream;
use futures_util::stream::StreamExt;
use opentelemetry::KeyValue;

use crate::{
    carrier::{Carrier, NOT_TEXT, by_field, same_key},
    conventions::{
        MESSAGING_DESTINATION_PARTITION_ID, MESSAGING_KAFKA_MESSAGE_KEY, MESSAGING_KAFKA_MESSAGE_TOMBSTONE,
        MESSAGING_KAFKA_OFFSET, MESSAGING_MESSAGE_BODY_SIZE,
    },
    messaging::{Delivered, Destination, Report, StreamError},
};
use partition::Partition;

/// Keys without NUL; one with it is refused, because rdkafka would cut it there.
impl Carrier for OwnedHeaders {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        values(self, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        readable(self).map(|header| header.key)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let fits = !key.contains('\0');
        if fits {
            Carrier::remove(self, key);
            *self = mem::take(self).insert(Header { key, value: Some(&value) });
        }
        fits
    }

    fn remove(&mut self, key: &str) {
        // Headers can only be added.
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let old = mem::take(self);
            let others = readable(&old).filter(|header| !same_key(header.key, key));
            *self = others.fold(Self::new_with_capacity(old.count()), Self::insert);
        }
    }
}

/// Only to be read.
impl Carrier for BorrowedHeaders {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        values(self, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        readable(self).map(|header| header.key)
    }
}

/// The headers that rdkafka can read: it panics on a key that is not UTF-8, which any producer may send.
fn readable<H: Headers>(headers: &H) -> impl Iterator<Item = Header<'_, &[u8]>> {
    // The panic leaves nothing half done: to read changes nothing.
    (0..headers.count()).filter_map(|at| catch_unwind(AssertUnwindSafe(|| headers.try_get(at))).ok().flatten())
}

fn values<'a, H: Headers>(headers: &'a H, key: &str) -> impl Iterator<Item = &'a str> {
    readable(headers)
        .filter(move |header| same_key(header.key, key))
        .map(|header| header.value.and_then(|value| from_utf8(value).ok()).unwrap_or(NOT_TEXT))
}

/// Only to be read, because what is sent on is another record. It describes its partition, offset, key and size, and
/// whether it is a tombstone.
impl Carrier for BorrowedMessage<'_> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers().into_iter().flat_map(move |headers| values(headers, key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers().into_iter().flat_map(Carrier::keys)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        describe_message(self)
    }
}

/// Its headers. It describes its partition, offset, key and size, and whether it is a tombstone.
impl Carrier for OwnedMessage {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers().into_iter().flat_map(move |headers| values(headers, key))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers().into_iter().flat_map(Carrier::keys)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let mut headers = self.detach_headers();
        let set = headers.get_or_insert_default().set(key, value);
        put(self, headers);
        set
    }

    fn remove(&mut self, key: &str) {
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut headers = self.detach_headers();
            headers.remove(key);
            put(self, headers);
        }
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        describe_message(self)
    }
}

/// A message takes headers only together with itself.
fn put(message: &mut OwnedMessage, headers: Option<OwnedHeaders>) {
    let none = OwnedMessage::new(None, None, String::new(), Timestamp::NotAvailable, 0, 0, None);
    *message = mem::replace(message, none).replace_headers(headers);
}

fn describe_message(message: &impl Message) -> impl Iterator<Item = KeyValue> {
    // A message that could not be sent has no offset, and is given back with a negative one or none.
    let sent = (message.partition() >= 0 && message.offset() >= 0).then_some(message);
    let offset = sent.map(|message| KeyValue::new(MESSAGING_KAFKA_OFFSET, message.offset()));
    describe(sent.map(Message::partition), message.key(), message.payload()).chain(offset)
}

fn describe<'a>(
    partition: Option<i32>,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
) -> impl Iterator<Item = KeyValue> + 'a {
    let partition = partition.map(|id| KeyValue::new(MESSAGING_DESTINATION_PARTITION_ID, id.to_string()));
    let key = key.and_then(|key| from_utf8(key).ok());
    let key = key.map(|key| KeyValue::new(MESSAGING_KAFKA_MESSAGE_KEY, key.to_owned()));
    let body = match payload {
        Some(payload) => KeyValue::new(MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(payload.len()).unwrap_or(i64::MAX)),
        None => KeyValue::new(MESSAGING_KAFKA_MESSAGE_TOMBSTONE, true),
    };
    partition.into_iter().chain(key).chain([body])
}

macro_rules! by_its_headers {
    ($(($($parameter:tt)*) $record:ty;)+) => {$(
        /// Its headers. It describes its partition, if it has one, its key and size, and whether it is a tombstone.
        impl<K: ToBytes + ?Sized, P: ToBytes + ?Sized, $($parameter)*> Carrier for $record {
            by_field! { headers or default }

            fn describe(&self) -> impl Iterator<Item = KeyValue> {
                describe(self.partition, self.key.map(K::to_bytes), self.payload.map(P::to_bytes))
            }
        }
    )+};
}

by_its_headers! {
    () FutureRecord<'_, K, P>;
    (D: IntoOpaque) BaseRecord<'_, K, P, D>;
}

/// Tells an operation where its record went, by [`on_ok`](crate::messaging::Operation::on_ok): partition and offset are
/// known only when the send returns.
///
/// # Examples
///
/// See the [module](self).
pub fn delivered(delivery: &Delivery, report: &mut Report<'_>) {
    report.partition(delivery.partition.to_string());
    report.attribute(MESSAGING_KAFKA_OFFSET, delivery.offset);
}

/// The records of a consumer, for [`process_each`](Destination::process_each): each with its consumer, which settles it.
///
/// The consumer needs the setting `enable.auto.offset.store=false`. Otherwise rdkafka stores the offset of each record
/// before it is processed, and a record whose processing ends early is lost.
///
/// A record that is dropped unsettled is read again. The stream keeps count of that, so read one stream of a consumer at a
/// time: two of them know nothing of each other's records.
///
/// # Errors
///
/// `StoreOffset(InvalidArgument)` if the consumer stores offsets by itself. The stream's own errors are its items, and it
/// goes on after them.
///
/// # Examples
///
/// See the [module](self).
pub fn records<C, R>(
    consumer: &StreamConsumer<C, R>,
) -> KafkaResult<impl Stream<Item = KafkaResult<Consumed<'_, C, R>>>>
where
    C: ConsumerContext + 'static,
{
    // To store nothing is refused as well.
    consumer.store_offsets(&TopicPartitionList::new())?;
    let mut topics = Topics::default();
    let deliver = move |message: KafkaResult<_>| {
        let delivered = message.and_then(|message| topics.deliver(consumer, message));
        ready(delivered.transpose())
    };
    Ok(consumer.stream().filter_map(deliver))
}

/// The partitions that a stream reads.
#[derive(Default)]
struct Topics(HashMap<String, HashMap<i32, Arc<Mutex<Partition>>>>);

impl Topics {
    /// `None` if the record comes too early.
    fn deliver<'c, C, R>(
        &mut self,
        consumer: &'c StreamConsumer<C, R>,
        message: BorrowedMessage<'c>,
    ) -> KafkaResult<Option<Consumed<'c, C, R>>>
    where
        C: ConsumerContext + 'static,
    {
        let partition = Arc::clone(self.partition(message.topic(), message.partition()));
        let reading = lock(&partition).deliver(message.offset(), |offset| seek(consumer, &message, offset))?;
        Ok(reading.map(|reading| Consumed { consumer, message, partition, reading }))
    }

    fn partition(&mut self, topic: &str, id: i32) -> &Arc<Mutex<Partition>> {
        if !self.0.contains_key(topic) {
            self.0.insert(topic.to_owned(), HashMap::new());
        }
        let partitions = self.0.get_mut(topic).expect("inserted above");
        partitions.entry(id).or_insert_with(|| Arc::new(Mutex::new(Partition::new())))
    }
}

/// A thread that panics leaves nothing half done.
fn lock(partition: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the records of a partition read again, from an offset.
///
/// It waits for nobody: a task would hold up its thread, and a destructor has to be quick. From the call on librdkafka gives
/// out no record that it fetched before, because it counts the partition's version up first (`rd_kafka_toppar_op_seek`). One thing
/// is not reported without a wait: that the partition is not assigned any more; then its next reader begins at the stored
/// offset.
fn seek<C, R>(consumer: &StreamConsumer<C, R>, message: &BorrowedMessage<'_>, offset: i64) -> KafkaResult<()>
where
    C: ConsumerContext + 'static,
{
    consumer.seek(message.topic(), message.partition(), Offset::Offset(offset), Duration::ZERO)
}

/// A record and the consumer that it comes from. As a carrier it is the record.
///
/// Kafka has no settlement of one record: a consumer group has an offset in each partition, and what is before it is done.
/// So `ack` and `reject` store an offset, which rdkafka commits from time to time. They store none beyond a record that is
/// in hand. `retry` has the consumer read the record again, and all after it. A record that is dropped unsettled does the same:
/// the loop was dropped, or a settlement failed. Kafka has no dead letters; to keep a record that is rejected, have the
/// handler produce it to a topic of its own, and succeed.
///
/// With more than one record [at once](crate::messaging::Policy::at_once), records of one partition are done in any order,
/// and when one of them is read again, the records after it that were done are read again too.
pub struct Consumed<'c, C = DefaultConsumerContext, R = DefaultRuntime>
where
    C: ConsumerContext + 'static,
{
    consumer: &'c StreamConsumer<C, R>,
    message: BorrowedMessage<'c>,
    partition: Arc<Mutex<Partition>>,
    reading: u64,
}

impl<C: ConsumerContext, R> Consumed<'_, C, R> {
    fn read_again(&self) -> KafkaResult<()> {
        let seek = |offset| seek(self.consumer, &self.message, offset);
        lock(&self.partition).read_again(self.message.offset(), self.reading, seek)
    }
}

impl<C: ConsumerContext, R> Drop for Consumed<'_, C, R> {
    /// After a settlement this does nothing.
    fn drop(&mut self) {
        // After an error the next record of the partition asks again.
        self.read_again().ok();
    }
}

impl<C: ConsumerContext, R> fmt::Debug for Consumed<'_, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumed")
            .field("topic", &self.message.topic())
            .field("partition", &self.message.partition())
            .field("offset", &self.message.offset())
            .finish_non_exhaustive()
    }
}

impl<C: ConsumerContext, R> Carrier for Consumed<'_, C, R> {
    by_field! { message }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.message.describe()
    }
}

/// The handler takes a copy, because a record that is lent keeps the consumer's buffer, and cannot go to another task.
impl<C: ConsumerContext, R> Delivered for Consumed<'_, C, R> {
    type Message = OwnedMessage;
    type Error = KafkaError;

    fn message(&mut self) -> OwnedMessage {
        self.message.detach()
    }

    /// By its topic, where the consumer's name is another: a pattern.
    fn destination(&self, consumer: &Destination) -> Destination {
        let topic = self.message.topic();
        if topic == consumer.name() { consumer.clone() } else { consumer.at(topic) }
    }

    async fn ack(self) -> KafkaResult<()> {
        let store = |position| {
            let mut positions = TopicPartitionList::with_capacity(1);
            let position = Offset::Offset(position);
            positions.add_partition_offset(self.message.topic(), self.message.partition(), position)?;
            self.consumer.store_offsets(&positions)
        };
        lock(&self.partition).ack(self.message.offset(), self.reading, store)
    }

    async fn retry(self) -> KafkaResult<()> {
        self.read_again()
    }

    async fn reject(self) -> KafkaResult<()> {
        self.ack().await
    }
}

/// So that `?` makes the one of the other, where a consumer loop ends.
impl From<StreamError<Self>> for KafkaError {
    fn from(ended: StreamError<Self>) -> Self {
        ended.error
    }
}
