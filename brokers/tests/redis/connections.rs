//! Connections of all kinds, and what a read that waits does to them.

use std::{
    io,
    time::{Duration, Instant},
};

use ctxhop::{clients::redis_1::Group, messaging::Policy};
use ctxhop_brokers::redis::Redis;
use futures::StreamExt;
use redis::{AsyncTypedCommands, Client, aio::MultiplexedConnection};
use tokio::time::timeout;

use crate::{
    LIMIT,
    shop::{Shop, no_apples},
};

/// Longer than a connection waits for a response.
const QUIET: Duration = Duration::from_millis(700);

/// So short that a response may be late by most of the time that a connection waits for it.
const BLOCK: Duration = Duration::from_millis(25);

async fn by_default(shop: &Shop) -> MultiplexedConnection {
    shop.redis.client().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn a_quiet_stream_is_no_failure() {
    let shop = Shop::new().await;
    let group = shop.group.clone().block(BLOCK);
    let mut entries = Box::pin(group.entries("worker-1", by_default(&shop).await, by_default(&shop).await));
    let nothing = timeout(QUIET, entries.next()).await;
    assert!(nothing.is_err(), "neither an entry nor a failure: {nothing:?}");
    shop.send("two apples").await;
    timeout(LIMIT, entries.next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_read_that_waits_longer_than_its_connection_fails() {
    let shop = Shop::new().await;
    let group = Group::new("orders", "billing").block(Duration::from_secs(10));
    let mut entries = Box::pin(group.entries("worker-1", by_default(&shop).await, by_default(&shop).await));
    let failed = timeout(LIMIT, entries.next()).await.unwrap().unwrap().unwrap_err();
    assert!(failed.is_timeout(), "{failed}");
}

/// It is why reading takes a connection of its own.
#[tokio::test]
async fn a_read_that_waits_holds_up_its_connection() {
    let shop = Shop::new().await;
    let block = Duration::from_millis(300);
    let mut connection = shop.redis.connect().await;
    let group = Group::new("orders", "billing").block(block);
    let mut entries = Box::pin(group.entries("worker-1", connection.clone(), connection.clone()));
    let held_up = async {
        loop {
            let start = Instant::now();
            connection.ping().await.unwrap();
            if start.elapsed() > block / 3 {
                return;
            }
        }
    };
    tokio::select! {
        _ = entries.next() => unreachable!("there is nothing to read"),
        held_up = timeout(LIMIT, held_up) => held_up.expect("an answer that waits for the read"),
    }
}

#[tokio::test]
async fn the_newer_protocol() {
    let shop = Shop::new().await;
    let client = Client::open(format!("{}?protocol=resp3", shop.redis.url())).unwrap();
    let connect = async || client.get_multiplexed_async_connection().await.unwrap();
    shop.send("two apples").await;
    let group = shop.group.clone().block(BLOCK);
    let entries = group.entries("worker-1", connect().await, connect().await).take(2);
    let policy = Policy::within(LIMIT).attempts(2);
    let tally = shop.orders.try_process_each(entries, async |_| Err::<(), io::Error>(no_apples()), policy);
    let tally = timeout(LIMIT, tally).await.unwrap().unwrap();
    assert_eq!((tally.retried, tally.rejected), (1, 1));
    assert_eq!((shop.pending().await, shop.dead().await), (0, 1));
}

/// A node of a cluster refuses a command or a transaction with keys of different slots.
#[tokio::test]
async fn dead_letters_in_another_slot_of_a_cluster() {
    let redis = Redis::cluster();
    let mut connection = redis.connect().await;
    let all = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec_async(&mut connection).await;
    all.unwrap();
    let up = async {
        loop {
            let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.unwrap();
            if info.contains("cluster_state:ok") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, up).await.expect("a cluster of one");
    let both = redis::cmd("EXISTS").arg("orders").arg("orders.dead").exec_async(&mut connection).await;
    assert_eq!(both.unwrap_err().code(), Some("CROSSSLOT"));

    let shop = Shop::on(redis).await;
    shop.send("two apples").await;
    assert_eq!(shop.handle(1, 1, async |_| Err(no_apples())).await.rejected, 1);
    assert_eq!((shop.pending().await, shop.dead().await), (0, 1));
}
