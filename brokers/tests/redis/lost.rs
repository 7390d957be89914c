//! What becomes of an entry when a consumer, a connection, the server or the entry itself is gone.

use std::{io, sync::Mutex};

use ctxhop::{
    carrier::Carrier,
    messaging::{Delivered, Policy},
};
use futures::{StreamExt, stream};
use redis::{
    AsyncTypedCommands, Cmd, ErrorKind, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManagerConfig, MultiplexedConnection},
    streams::{StreamId, StreamTrimOptions, StreamTrimmingMode},
};
use tokio::time::{sleep, timeout};

use crate::{
    LIMIT,
    shop::{CLAIM_AFTER, Shop, no_apples},
};

#[tokio::test]
async fn another_consumer_has_the_entry_of_one_that_was_killed() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let mut entry = shop.next("worker-2").await;
    // Its process is killed in the midst of it: nothing of it runs any more, and its spans never end.
    assert_eq!(entry.message().delivered_count, Some(1));
    drop(entry);
    assert_eq!(shop.pending().await, 1);
    let handler = async |entry: StreamId| {
        assert_eq!(entry.delivered_count, Some(2));
        Ok(())
    };
    assert_eq!(shop.handle(1, 3, handler).await.acked, 1);
    assert_eq!(shop.pending().await, 0);
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_consumer_that_takes_too_long_may_settle_once_or_be_refused() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let slow = shop.next("worker-2").await;
    assert_eq!(shop.handle(1, 3, async |_| Ok(())).await.acked, 1);
    let late = shop.orders.process_each(stream::iter([slow]), async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT));
    assert_eq!(late.await.unsettled, 1);
}

#[tokio::test]
async fn a_connection_that_is_lost_in_between_fails_the_settlement() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let entries = shop.entries("worker-1").await.filter_map(async |entry| entry.ok()).take(1);
    let cut = async |_| {
        // All but the one that says so.
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").exec_async(&mut shop.connection.clone()).await
    };
    let each = shop.orders.process_each(entries, cut, Policy::within(LIMIT));
    let tally = timeout(LIMIT, each).await.expect("no loop hangs");
    assert_eq!((tally.acked, tally.unsettled), (0, 1));
    assert_eq!(shop.pending().await, 1);
    assert_eq!(shop.handle(1, 3, async |_| Ok(())).await.acked, 1);
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn the_server_is_killed_in_between() {
    let mut shop = Shop::new().await;
    shop.send("two apples").await;
    let entry = shop.next("worker-1").await;
    shop.redis.kill_and_restart();
    let each = shop.orders.process_each(stream::iter([entry]), async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT));
    let tally = timeout(LIMIT, each).await.expect("no loop hangs");
    assert_eq!((tally.acked, tally.unsettled), (0, 1), "a connection does not come back");
    // The group and what it has pending are as they were.
    assert_eq!(shop.handle(1, 3, async |_| Ok(())).await.acked, 1);
    assert_eq!(shop.pending().await, 0);
    shop.rig.tree().assert_single_trace();
}

/// With a connection that comes back, a stream whose errors are left out goes on by itself, as the documentation shows.
#[tokio::test]
async fn a_connection_manager_outlives_the_server() {
    let mut shop = Shop::new().await;
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(LIMIT));
    let manager = || async { shop.redis.client().get_connection_manager_with_config(config.clone()).await.unwrap() };
    let entries = shop.group.entries("worker-1", manager().await, manager().await);
    let mut entries = Box::pin(entries.filter_map(async |entry| match entry {
        Err(error) if error.code() != Some("NOGROUP") => {
            sleep(CLAIM_AFTER).await;
            None
        }
        entry => Some(entry),
    }));
    shop.send("apples").await;
    timeout(LIMIT, entries.next()).await.unwrap().unwrap().unwrap().ack().await.unwrap();
    shop.redis.kill_and_restart();
    shop.connection = shop.redis.connect().await;
    shop.send("pears").await;
    // The settling connection notices its loss by the first settlement, which fails; so the entry comes again.
    let settled = async { while entries.next().await.unwrap().unwrap().ack().await.is_err() {} };
    timeout(LIMIT, settled).await.expect("an acknowledgement");
    assert_eq!(shop.pending().await, 0);

    shop.connection.xgroup_destroy("orders", "billing").await.unwrap();
    let each = shop.orders.try_process_each(entries, async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT));
    // As in a program.
    let ended = timeout(LIMIT, tokio::spawn(each)).await.expect("a loop that ends").unwrap().unwrap_err();
    assert_eq!(ended.error.code(), Some("NOGROUP"));
}

async fn trim_all(connection: &mut MultiplexedConnection) {
    let all = StreamTrimOptions::maxlen(StreamTrimmingMode::Exact, 0);
    connection.xtrim_options("orders", &all).await.unwrap();
}

#[tokio::test]
async fn an_entry_that_is_trimmed_while_it_is_pending_is_gone_and_the_loop_goes_on() {
    let mut shop = Shop::new().await;
    shop.send("apples").await;
    drop(shop.next("worker-2").await);
    trim_all(&mut shop.connection).await;
    assert_eq!(shop.pending().await, 1, "the group does not know yet");
    shop.send("pears").await;
    let handler = async |entry: StreamId| {
        assert_eq!(entry.get::<String>("body").unwrap(), "pears");
        Ok::<_, io::Error>(())
    };
    // The entry of the first goes with a claim that finds it idle.
    let mut entries = Box::pin(shop.entries("worker-1").await);
    let pears = entries.next().await.unwrap().unwrap();
    let each = shop.orders.process_each(stream::iter([pears]), handler, Policy::within(LIMIT));
    assert_eq!(each.await.acked, 1);
    let swept = async {
        while shop.pending().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        entry = entries.next() => panic!("there is no other entry: {entry:?}"),
        () = swept => {}
    }
    // Nobody has settled it: its producer's span stays alone.
    assert_eq!(shop.rig.tree().roots().iter().filter(|root| root.children().is_empty()).count(), 1);
}

#[tokio::test]
async fn an_entry_that_is_trimmed_in_hand_is_settled_all_the_same() {
    let shop = Shop::new().await;
    for _ in 0..2 {
        shop.send("two apples").await;
    }
    let answers = Mutex::new(vec![Ok(()), Err(no_apples())]);
    let handler = async |_| {
        trim_all(&mut shop.connection.clone()).await;
        answers.lock().unwrap().pop().unwrap()
    };
    let tally = shop.handle(2, 1, handler).await;
    assert_eq!((tally.acked, tally.rejected), (1, 1));
    let dead = shop.redis.connect().await.xrange_all("orders.dead").await.unwrap();
    assert_eq!(dead.ids[0].get::<String>("body").unwrap(), "two apples");
    assert_eq!(dead.ids[0].get_all("traceparent").count(), 1);
}

/// A transaction would not do: Redis does not undo its other half.
#[tokio::test]
async fn a_dead_letter_that_cannot_be_written_leaves_its_entry_pending() {
    let mut shop = Shop::new().await;
    shop.connection.set("orders.dead", "no stream").await.unwrap();
    shop.send("two apples").await;
    let tally = shop.handle(1, 1, async |_| Err(no_apples())).await;
    assert_eq!((tally.rejected, tally.unsettled), (0, 1));
    assert_eq!(shop.pending().await, 1);
}

/// It loses what is sent when it sees a command of that name.
#[derive(Clone)]
struct Loses(MultiplexedConnection, &'static [u8]);

impl ConnectionLike for Loses {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let lost = cmd.args_iter().next() == Some(redis::Arg::Simple(self.1));
        let lose = async { Err((ErrorKind::Io, "lost").into()) };
        if lost { Box::pin(lose) } else { self.0.req_packed_command(cmd) }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipe: &'a Pipeline,
        at: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipe, at, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_in_a_rejection_makes_two_dead_letters_rather_than_none() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    for (lost, dead, pending) in [("XADD", 0, 1), ("XACK", 1, 1), ("nothing", 2, 0)] {
        let loses = Loses(shop.redis.connect().await, lost.as_bytes());
        let entries = shop.group.entries("worker-1", shop.redis.connect().await, loses);
        let policy = Policy::within(LIMIT).attempts(1);
        let each = shop.orders.try_process_each(entries.take(1), async |_| Err::<(), _>(no_apples()), policy);
        timeout(LIMIT, each).await.unwrap().unwrap();
        assert_eq!((shop.dead().await, shop.pending().await), (dead, pending), "{lost} is lost");
    }
    shop.rig.tree().assert_single_trace();
}
