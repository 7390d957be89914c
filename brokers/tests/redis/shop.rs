//! A server, a stream and a group for each test.

use std::{io, time::Duration};

use ctxhop::{
    clients::redis_1::{Entry, Group, added},
    messaging::{Destination, Policy, Tally},
};
use ctxhop_brokers::{redis::Redis, rig::Rig};
use futures::{Stream, StreamExt};
use redis::{AsyncTypedCommands, RedisResult, aio::MultiplexedConnection, streams::StreamId};
use tokio::time::timeout;

use crate::LIMIT;

/// So short that no test takes long. Each handler is quicker, or nobody else claims.
pub(crate) const CLAIM_AFTER: Duration = Duration::from_millis(50);

pub(crate) struct Shop {
    pub(crate) rig: Rig,
    pub(crate) redis: Redis,
    pub(crate) connection: MultiplexedConnection,
    pub(crate) orders: Destination,
    pub(crate) group: Group,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::on(Redis::start()).await
    }

    pub(crate) async fn on(redis: Redis) -> Self {
        let rig = Rig::new();
        let connection = redis.with_group("orders", "billing").await;
        let orders = rig.destination("redis", "orders").consumer_group("billing");
        let group = Group::new("orders", "billing").claim_after(CLAIM_AFTER).dead_letters("orders.dead");
        Self { rig, redis, connection, orders, group }
    }

    pub(crate) async fn send(&self, body: &str) {
        let mut connection = self.connection.clone();
        let mut fields = vec![("body".to_owned(), body.to_owned())];
        let send = self.orders.send(&mut fields).on_ok(added);
        send.run_async(|| connection.xadd("orders", "*", &fields)).await.unwrap();
    }

    /// The entries for a consumer.
    pub(crate) async fn entries(
        &self,
        consumer: &str,
    ) -> impl Stream<Item = RedisResult<Entry<MultiplexedConnection>>> + use<> {
        self.group.entries(consumer, self.redis.connect().await, self.redis.connect().await)
    }

    /// The next entry for a consumer, which has to come.
    pub(crate) async fn next(&self, consumer: &str) -> Entry<MultiplexedConnection> {
        let mut entries = Box::pin(self.entries(consumer).await);
        timeout(LIMIT, entries.next()).await.expect("an entry in time").expect("an entry").unwrap()
    }

    /// Handles so many deliveries.
    pub(crate) async fn handle<F: Future<Output = io::Result<()>>>(
        &self,
        deliveries: usize,
        attempts: u64,
        handler: impl Fn(StreamId) -> F,
    ) -> Tally {
        let entries = self.entries("worker-1").await.take(deliveries);
        let policy = Policy::within(LIMIT).attempts(attempts);
        let each = self.orders.try_process_each(entries, handler, policy);
        timeout(LIMIT, each).await.expect("a loop that ends").unwrap()
    }

    /// How many entries the group has still to settle.
    pub(crate) async fn pending(&self) -> usize {
        self.redis.connect().await.xpending("orders", "billing").await.unwrap().count()
    }

    /// How many dead letters there are.
    pub(crate) async fn dead(&self) -> usize {
        self.redis.connect().await.xlen("orders.dead").await.unwrap()
    }
}

pub(crate) fn no_apples() -> io::Error {
    io::Error::other("no apples")
}
