#![doc = include_str!("redis_1.md")]

use std::{
    error::Error,
    fmt, mem,
    str::from_utf8,
    sync::Arc,
    time::{Duration, Instant},
    vec,
};

use ::redis::{
    Cmd, RedisError, RedisResult, Value, aio::ConnectionLike, cmd, from_redis_value, pipe, streams::StreamId,
};
use futures_core::Stream;
use futures_util::stream;
use opentelemetry::KeyValue;

use crate::{
    carrier::{Carrier, NOT_TEXT, same_key},
    conventions::{self, MESSAGING_MESSAGE_ENVELOPE_SIZE, MESSAGING_MESSAGE_ID, NOT_ADDED},
    messaging::{Delivered, Failure, Report, StreamError},
};

/// Fields with values of any bytes. For fields of text there is `Vec<(String, String)>`.
impl Carrier for Vec<(String, Vec<u8>)> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(name, _)| same_key(name, key)).map(|(_, value)| text(value))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name.as_str())
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        Carrier::remove(self, key);
        self.push((key.to_owned(), value.into_bytes()));
        true
    }

    fn remove(&mut self, key: &str) {
        self.retain(|(name, _)| !same_key(name, key));
    }
}

fn text(value: &[u8]) -> &str {
    from_utf8(value).unwrap_or(NOT_TEXT)
}

/// Only to be read, because what is sent on is another entry. It describes its id, its size, and how often it was delivered,
/// if it tells.
impl Carrier for StreamId {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.map.iter().filter(move |(name, _)| same_key(name, key)).map(|(_, value)| text(bytes(value)))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let size = self.map.iter().map(|(name, value)| name.len() + bytes(value).len()).sum();
        describe(&self.id, size, self.delivered_count.map(|count| count as u64))
    }
}

/// The server sends each value as a bulk string.
fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.as_bytes(),
        _ => NOT_TEXT.as_bytes(),
    }
}

fn describe(id: &str, size: usize, count: Option<u64>) -> impl Iterator<Item = KeyValue> {
    let own = [
        KeyValue::new(MESSAGING_MESSAGE_ID, id.to_owned()),
        KeyValue::new(MESSAGING_MESSAGE_ENVELOPE_SIZE, signed(size as u64)),
    ];
    let count = count.map(|count| KeyValue::new(conventions::delivery_count("redis"), signed(count)));
    own.into_iter().chain(count)
}

/// The API's integers are signed; no message is that big.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Tells an operation the id of the entry that it has added, by [`on_ok`](crate::messaging::Operation::on_ok). With
/// `NOMKSTREAM` Redis adds nothing where there is no stream, and redis returns an `Ok(None)`: that is a failure.
///
/// # Examples
///
/// See the [module](self).
pub fn added(id: &Option<String>, report: &mut Report<'_>) {
    match id {
        Some(id) => report.message_id(id.as_str()),
        None => report.fail(Failure::new(NOT_ADDED, "there is no such stream")),
    }
}

/// A consumer group of a stream: what all its consumers have in common.
///
/// Make the group in Redis before, by redis' own `xgroup_create_mkstream`.
///
/// # Examples
///
/// See the [module](self).
#[derive(Clone, Debug)]
#[must_use]
pub struct Group {
    stream: String,
    name: String,
    dead_letters: Option<String>,
    claim_after: Duration,
    batch: usize,
    block: Duration,
}

impl Group {
    /// The group `name` of a stream.
    pub fn new(stream: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            stream: stream.into(),
            name: name.into(),
            dead_letters: None,
            claim_after: Duration::from_secs(60),
            batch: 16,
            block: Duration::from_millis(250),
        }
    }

    /// The stream that rejected entries are added to, with their fields as they are. Without it, a rejected entry is
    /// acknowledged, and stays in its stream until that is trimmed.
    ///
    /// In a cluster it may be in any slot, because no transaction has both streams.
    pub fn dead_letters(self, stream: impl Into<String>) -> Self {
        Self { dead_letters: Some(stream.into()), ..self }
    }

    /// How long after its delivery an entry that is not settled is delivered again: one that waits for a retry, and one
    /// whose consumer is gone. By default it is a minute. A consumer looks for such entries twice in this time, between two
    /// reads: new entries, and those that are delivered again, take turns by the [batch](Self::batch).
    ///
    /// It has to be longer than the handling of a whole [batch](Self::batch), or an entry is handled twice at the same time.
    pub fn claim_after(self, idle: Duration) -> Self {
        Self { claim_after: idle, ..self }
    }

    /// How many entries a consumer reads at once: 16 by default. Those that wait for the handler are delivered, and their
    /// time runs.
    pub fn batch(self, entries: usize) -> Self {
        Self { batch: entries.max(1), ..self }
    }

    /// How long Redis lets a read wait for entries: 250 ms by default.
    ///
    /// It has to be less than the response timeout of the reading connection, which is 500 ms unless you change it, or every
    /// read in a quiet stream fails.
    pub fn block(self, time: Duration) -> Self {
        Self { block: time, ..self }
    }

    /// The entries for one consumer of the group, for [`try_process_each`](crate::messaging::Destination::try_process_each):
    /// new ones, and those that nobody has settled in [time](Self::claim_after).
    ///
    /// `consumer` is a name that no other consumer of the group has. Keep it over restarts, because Redis keeps each name.
    ///
    /// `reading` has to be a connection of its own, and not a clone, because a read that waits holds up what is sent after
    /// it. `settling` is cloned for each entry, and may serve all consumers of a process, and producers.
    ///
    /// # Errors
    ///
    /// Those of the reading connection. The stream goes on after them, if the connection does, as redis'
    /// `ConnectionManager` does. It asks again at once: pause after an error, as the [module](self) shows.
    ///
    /// # Cancel safety
    ///
    /// Entries that were read, and not handled when the stream is dropped, stay pending, and are delivered again.
    pub fn entries<R, C>(
        &self,
        consumer: &str,
        reading: R,
        settling: C,
    ) -> impl Stream<Item = RedisResult<Entry<C>>> + use<R, C>
    where
        R: ConnectionLike,
        C: ConnectionLike + Clone,
    {
        let reader = Reader {
            group: Arc::new(self.clone()),
            consumer: consumer.to_owned(),
            reading,
            settling,
            ready: Vec::new().into_iter(),
            cursor: START.to_owned(),
            swept: None,
            owed: None,
        };
        stream::unfold(reader, async |mut reader| Some((reader.next().await, reader)))
    }
}

/// Where a sweep of the pending entries starts, and what says that it has ended.
const START: &str = "0-0";

/// Names and values, unchanged: a name may be there twice, and may not be text.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Entries of a reply. In place of one that was deleted there is nothing, or an id without fields.
type Read = Vec<Option<(String, Option<Fields>)>>;

/// An entry, and how often it was delivered.
type Counted = ((String, Fields), u64);

/// An entry in a consumer's list: its id, the consumer, for how many milliseconds, and how often it was delivered.
type Pending = (String, Vec<u8>, u64, u64);

struct Reader<R, C> {
    group: Arc<Group>,
    consumer: String,
    reading: R,
    settling: C,
    ready: vec::IntoIter<Counted>,
    /// Where the sweep goes on.
    cursor: String,
    /// When the last sweep ended.
    swept: Option<Instant>,
    /// The read that has to come before another claim: how long it may wait. If claims and reads did not take turns, new
    /// entries would starve where a sweep takes longer than its entries stay away.
    owed: Option<Duration>,
}

impl<R: ConnectionLike, C: Clone> Reader<R, C> {
    async fn next(&mut self) -> RedisResult<Entry<C>> {
        loop {
            if let Some(((id, fields), count)) = self.ready.next() {
                let (group, connection) = (self.group.clone(), self.settling.clone());
                return Ok(Entry { group, connection, id, fields, count });
            }
            let entries = if self.is_sweep_due() { self.claim().await? } else { self.read().await? };
            self.ready = entries.into_iter();
        }
    }

    fn is_sweep_due(&self) -> bool {
        // A sweep costs a round trip, so an entry comes late by up to half the time.
        let due = || self.swept.is_none_or(|swept| swept.elapsed() >= self.group.claim_after / 2);
        self.owed.is_none() && (self.cursor != START || due())
    }

    /// What others, and this consumer, have had for too long.
    async fn claim(&mut self) -> RedisResult<Vec<Counted>> {
        let Group { stream, name, claim_after, batch, block, .. } = &*self.group;
        // Also if the claim fails.
        self.owed = Some(*block);
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(stream).arg(name).arg(&self.consumer).arg(millis(*claim_after)).arg(&self.cursor);
        let reply: Vec<Value> = claim.arg("COUNT").arg(*batch).query_async(&mut self.reading).await?;
        // What follows, the ids of deleted entries, came with Redis 7.
        let mut reply = reply.into_iter();
        let mut part = || reply.next().unwrap_or_default();
        let (cursor, entries): (String, Read) = (from_redis_value(part())?, from_redis_value(part())?);
        let entries: Vec<_> = present(entries).collect();
        let counts = self.counts(&entries).await?;
        if cursor == START {
            self.swept = Some(Instant::now());
        }
        self.cursor = cursor;
        if self.cursor != START || !entries.is_empty() {
            self.owed = Some(Duration::ZERO);
        }
        Ok(entries.into_iter().zip(counts).collect())
    }

    /// How often each was delivered, which no entry tells.
    async fn counts(&mut self, entries: &[(String, Fields)]) -> RedisResult<Vec<u64>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = pipe();
        for (id, _) in entries {
            pipe.cmd("XPENDING").arg(&self.group.stream).arg(&self.group.name).arg(id).arg(id).arg(1);
        }
        let pending: Vec<Vec<Pending>> = pipe.query_async(&mut self.reading).await?;
        // One that somebody else has settled in the meantime is in nobody's list. It was claimed, so this is not the first time.
        Ok(pending.iter().map(|pending| pending.first().map_or(2, |pending| pending.3)).collect())
    }

    /// What nobody has had.
    async fn read(&mut self) -> RedisResult<Vec<Counted>> {
        let Group { stream, name, batch, block, .. } = &*self.group;
        let block = self.owed.take().unwrap_or(*block);
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(name).arg(&self.consumer).arg("COUNT").arg(*batch);
        // Zero is forever.
        read.arg("BLOCK").arg(millis(block).max(1)).arg("STREAMS").arg(stream).arg(">");
        let reply: Vec<(Vec<u8>, Read)> = read.query_async(&mut self.reading).await?;
        Ok(reply.into_iter().flat_map(|(_, entries)| present(entries)).map(|entry| (entry, 1)).collect())
    }
}

fn millis(time: Duration) -> u64 {
    // Redis' integers are signed.
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).unsigned_abs()
}

fn present(entries: Read) -> impl Iterator<Item = (String, Fields)> {
    entries.into_iter().flatten().filter_map(|(id, fields)| Some((id, fields?)))
}

/// An entry of a stream, delivered to a consumer of a group. As a carrier, it can only be read. It describes its id, its
/// size, and how often it was delivered.
///
/// `ack` is an `XACK`. `retry` leaves the entry pending: it is delivered again, to any consumer, after the group's
/// [time](Group::claim_after). `reject` adds it to the group's [dead letters](Group::dead_letters), and then acknowledges it.
/// If the connection is lost in between, the entry is delivered again, and may be among the dead letters twice, but it is
/// never lost.
///
/// The handler takes a [`StreamId`]. A map holds its fields, so a name that is there twice has its last value, and a name that
/// is not UTF-8 has replacement characters. The dead letters have the fields as they came.
pub struct Entry<C> {
    group: Arc<Group>,
    connection: C,
    id: String,
    fields: Fields,
    count: u64,
}

impl<C> fmt::Debug for Entry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("stream", &self.group.stream)
            .field("group", &self.group.name)
            .field("id", &self.id)
            .field("delivery_count", &self.count)
            .finish_non_exhaustive()
    }
}

impl<C> Carrier for Entry<C> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(key.as_bytes()));
        named.map(|(_, value)| text(value))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter_map(|(name, _)| from_utf8(name).ok())
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let size = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        describe(&self.id, size, Some(self.count))
    }
}

impl<C: ConnectionLike> Delivered for Entry<C> {
    type Message = StreamId;
    type Error = SettleError;

    /// The fields stay here as well if they may become a dead letter: once the stream is trimmed, nobody else has them.
    fn message(&mut self) -> StreamId {
        let fields = match self.group.dead_letters {
            Some(_) => self.fields.clone(),
            None => mem::take(&mut self.fields),
        };
        let name =
            |name| String::from_utf8(name).unwrap_or_else(|name| String::from_utf8_lossy(name.as_bytes()).into());
        let map = fields.into_iter().map(|(key, value)| (name(key), Value::BulkString(value))).collect();
        let delivered_count = usize::try_from(self.count).ok();
        StreamId { id: self.id.clone(), map, delivered_count, ..StreamId::default() }
    }

    fn delivery_count(&self) -> Option<u64> {
        Some(self.count)
    }

    async fn ack(mut self) -> Result<(), SettleError> {
        let acknowledged: u64 = self.acknowledgement().query_async(&mut self.connection).await?;
        if acknowledged == 0 { Err(SettleError::Refused) } else { Ok(()) }
    }

    async fn retry(self) -> Result<(), SettleError> {
        Ok(())
    }

    async fn reject(mut self) -> Result<(), SettleError> {
        if let Some(dead_letters) = &self.group.dead_letters {
            let mut add = cmd("XADD");
            add.arg(dead_letters).arg("*").arg(&self.fields);
            let _id: String = add.query_async(&mut self.connection).await?;
        }
        self.ack().await
    }
}

impl<C> Entry<C> {
    fn acknowledgement(&self) -> Cmd {
        let mut acknowledgement = cmd("XACK");
        acknowledgement.arg(&self.group.stream).arg(&self.group.name).arg(&self.id);
        acknowledgement
    }
}

/// An entry could not be settled. Redis delivers it again, unless it was settled before.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettleError {
    /// The server refuses the command, or the connection has failed.
    Failed(RedisError),
    /// The entry is not pending any more: another consumer has claimed and settled it, or the group is a new one.
    Refused,
}

impl From<RedisError> for SettleError {
    fn from(error: RedisError) -> Self {
        Self::Failed(error)
    }
}

/// So that `?` makes the one of the other, where a consumer loop ends.
impl From<StreamError<Self>> for RedisError {
    fn from(ended: StreamError<Self>) -> Self {
        ended.error
    }
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Refused => f.write_str("the entry is not pending any more"),
        }
    }
}

impl Error for SettleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Refused => None,
        }
    }
}
