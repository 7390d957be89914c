//! Load with faults on Redis, with every write in its file before it answers. It has a server and a binary of its own.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ctxhop::{clients::redis_1::Group, messaging::Policy};
use ctxhop_brokers::{
    load::{self, Ledger, STEP, connected},
    redis::Redis,
};
use futures::{StreamExt, stream};
use redis::{
    AsyncConnectionConfig, AsyncTypedCommands, Client, RedisResult, aio::MultiplexedConnection, streams::StreamId,
};
use tokio::time::{sleep, timeout};

const STREAM: &str = "orders";
const GROUP: &str = "billing";
const AT_ONCE: usize = 16;

type Fields = Vec<(String, String)>;

/// What all tasks share.
struct Shop {
    client: Client,
    ledger: Ledger,
}

impl Shop {
    async fn connection(&self) -> MultiplexedConnection {
        connected(|| self.try_connection()).await
    }

    async fn try_connection(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(STEP));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Gives the message back if it is not confirmed, with the context that it has.
    async fn send(
        &self,
        mut connection: MultiplexedConnection,
        lost: &AtomicBool,
        (id, mut fields): (usize, Fields),
    ) -> Option<(usize, Fields)> {
        if lost.load(Ordering::Relaxed) {
            return Some((id, fields));
        }
        let send = self.ledger.orders.send(&mut fields).message_id(id.to_string());
        match timeout(STEP, send.run_async(|| connection.xadd(STREAM, "*", &fields))).await {
            Ok(Ok(Some(_))) => None,
            _ => {
                lost.store(true, Ordering::Relaxed);
                Some((id, fields))
            }
        }
    }

    /// Handles entries until `end`, or until the connection is lost.
    async fn work(&self, group: &Group, consumer: &str, end: impl Future<Output = ()> + Unpin) -> RedisResult<()> {
        let entries = group.entries(consumer, self.connection().await, self.connection().await).take_until(end);
        let policy = Policy::within(STEP).at_once(AT_ONCE);
        self.ledger.orders.try_process_each(entries, |entry| self.handle(entry), policy).await?;
        Ok(())
    }

    async fn handle(&self, entry: StreamId) -> io::Result<()> {
        self.ledger.handle(entry.get::<String>("body").expect("a body").as_bytes());
        Ok(())
    }

    /// Waits until the group has nothing to deliver and nothing to settle.
    async fn empty(&self) {
        let mut connection = self.connection().await;
        loop {
            let groups = connection.xinfo_groups(STREAM).await.unwrap().groups;
            let group = &groups[0];
            if group.pending == 0 && group.lag == Some(0) {
                return;
            }
            // There is nothing to wait for but time: Redis tells nobody.
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl load::Shop for Shop {
    const ANSWERED: usize = AT_ONCE;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn produce(&self, ids: Vec<usize>) {
        let fields = |id: usize| vec![("body".to_owned(), id.to_string())];
        let mut pending: Vec<_> = ids.into_iter().map(|id| (id, fields(id))).collect();
        while !pending.is_empty() {
            let connection = self.connection().await;
            let lost = AtomicBool::new(false);
            let sends = stream::iter(pending).map(|message| self.send(connection.clone(), &lost, message));
            pending = sends.buffer_unordered(64).filter_map(async |unsent| unsent).collect().await;
        }
    }

    async fn consume(&self, consumer: usize) {
        let group = Group::new(STREAM, GROUP).claim_after(Duration::from_secs(2)).batch(64);
        while !self.ledger.is_done() {
            // An error is that of a connection that is lost.
            self.work(&group, &consumer.to_string(), self.ledger.done()).await.ok();
        }
    }

    async fn drain(&self) {
        let group = Group::new(STREAM, GROUP).claim_after(Duration::from_secs(2)).batch(64);
        self.work(&group, "drain", Box::pin(self.empty())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_server_is_killed() {
    let server = Redis::start();
    server.with_group(STREAM, GROUP).await;
    let client = server.client();
    load::run("redis", server, Redis::kill_and_restart, |ledger| Shop { client, ledger }).await;
}
