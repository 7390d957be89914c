//! Redis, by redis: a stream for each queue, and one group of consumers.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ctxhop::{
    clients::redis_1::{Group, added},
    messaging::{Destination, Policy},
};
use futures::StreamExt;
use redis::{
    AsyncTypedCommands, Client, IntoConnectionInfo, RedisError, RedisResult, aio::MultiplexedConnection,
    streams::StreamId,
};

use super::{Describe, Failed, Job, body, verdict};

const GROUP: &str = "workers";

/// A failed notification is delivered again after this time, and one whose worker was killed. It is as long as a worker may have
/// it in hand, because otherwise another one gets it, too.
const CLAIM_AFTER: Duration = body::LIMIT;

/// The field that has the job. The context is in fields beside it.
const BODY: &str = "body";

pub(crate) struct Redis {
    client: Client,
    /// Adds and settles.
    connection: MultiplexedConnection,
    server: String,
}

impl Redis {
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        let info = url.into_connection_info().map_err(|error| format!("the broker's address is wrong: {error}"))?;
        // Without the password, which is no business of a log.
        let server = info.addr().to_string();
        let connect = async {
            let client = Client::open(info)?;
            let connection = client.get_multiplexed_async_connection().await?;
            RedisResult::Ok((client, connection))
        };
        match connect.await {
            Ok((client, connection)) => Ok(Self { client, connection, server }),
            Err(error) => Err(format!("no broker at {server}: {error}")),
        }
    }

    fn destination(&self, stream: &'static str, describe: Describe<'_>) -> Destination {
        let (host, port) = self.server.rsplit_once(':').unwrap_or((&self.server, ""));
        describe(Destination::new("redis", stream).server(host, port.parse::<u16>().ok()).consumer_group(GROUP))
    }

    pub(super) fn publisher(&self, stream: &'static str, describe: Describe<'_>) -> Publisher {
        Publisher { connection: self.connection.clone(), stream, destination: self.destination(stream, describe) }
    }

    pub(super) async fn consumer(&self, stream: &'static str, describe: Describe<'_>) -> Result<Consumer, String> {
        let open = async {
            match self.connection.clone().xgroup_create_mkstream(stream, GROUP, "0").await {
                // It is there.
                Err(error) if error.code() == Some("BUSYGROUP") => {}
                created => created?,
            }
            // A read that waits holds up what is behind it, so it has a connection of its own.
            self.client.get_multiplexed_async_connection().await
        };
        let reading = open.await.map_err(|error: RedisError| format!("cannot consume {stream}: {error}"))?;
        let destination = self.destination(stream, describe);
        Ok(Consumer { reading, settling: self.connection.clone(), stream, destination })
    }
}

#[derive(Clone)]
pub(crate) struct Publisher {
    connection: MultiplexedConnection,
    stream: &'static str,
    destination: Destination,
}

impl Publisher {
    pub(super) async fn publish(&self, job: &Job) -> Result<(), String> {
        let mut fields = vec![(BODY.to_owned(), body::write(job)?)];
        let send = self.destination.send(&mut fields).on_ok(added);
        send.run_async(|| self.add(fields)).await.map(drop).map_err(|error| error.to_string())
    }

    async fn add(&self, fields: Vec<(String, Vec<u8>)>) -> RedisResult<Option<String>> {
        self.connection.clone().xadd(self.stream, "*", &fields).await
    }
}

pub(crate) struct Consumer {
    reading: MultiplexedConnection,
    settling: MultiplexedConnection,
    stream: &'static str,
    destination: Destination,
}

impl Consumer {
    pub(super) async fn process_each<F>(
        self,
        handle: impl Fn(Arc<Job>) -> F,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String>
    where
        F: Future<Output = Result<(), Failed>>,
    {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("worker-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // One at a time, so that the others find work, too.
        let group = Group::new(self.stream, GROUP).claim_after(CLAIM_AFTER).batch(1);
        let entries = group.entries(&name, self.reading, self.settling);
        let handle = &handle;
        let handle =
            async |entry: StreamId| body::handle(&entry.get::<Vec<u8>>(BODY).unwrap_or_default(), handle).await;
        let policy = Policy::within(body::LIMIT).decide(verdict);
        let processed = self.destination.try_process_each(entries.boxed().take_until(stop), handle, policy).await;
        processed.map(drop).map_err(|error| error.to_string())
    }
}
