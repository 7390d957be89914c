//! NATS, by async-nats: a stream of JetStream for each queue, and a durable consumer.

use std::sync::Arc;

use async_nats::{
    HeaderMap,
    jetstream::{
        self, Message,
        consumer::{PullConsumer, pull},
        context::PublishError,
        stream::{self, RetentionPolicy},
    },
};
use ctxhop::messaging::{Destination, Policy};
use futures::StreamExt;
use tokio::time::timeout;

use super::{Describe, Failed, Job, body, verdict};

pub(crate) struct Nats {
    jetstream: jetstream::Context,
    host: String,
    port: u16,
}

impl Nats {
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        let server: async_nats::ServerAddr =
            url.parse().map_err(|error| format!("the broker's address is wrong: {error}"))?;
        let (host, port) = (server.host().to_owned(), server.port());
        match timeout(body::LIMIT, async_nats::connect(server)).await {
            Ok(Ok(client)) => Ok(Self { jetstream: jetstream::new(client), host, port }),
            Ok(Err(error)) => Err(format!("no broker at {host}:{port}: {error}")),
            Err(_) => Err(format!("no broker at {host}:{port}: no answer within {:?}", body::LIMIT)),
        }
    }

    /// The stream goes by the queue's name, and so does its only subject.
    async fn stream(&self, queue: &str) -> Result<stream::Stream, String> {
        let config =
            stream::Config { name: queue.to_owned(), retention: RetentionPolicy::WorkQueue, ..Default::default() };
        self.jetstream.get_or_create_stream(config).await.map_err(|error| format!("cannot create {queue}: {error}"))
    }

    fn destination(&self, queue: &'static str, describe: Describe<'_>) -> Destination {
        describe(Destination::new("nats", queue).server(self.host.as_str(), self.port))
    }

    pub(super) async fn publisher(&self, queue: &'static str, describe: Describe<'_>) -> Result<Publisher, String> {
        self.stream(queue).await?;
        Ok(Publisher { jetstream: self.jetstream.clone(), queue, destination: self.destination(queue, describe) })
    }

    pub(super) async fn consumer(&self, queue: &'static str, describe: Describe<'_>) -> Result<Consumer, String> {
        let stream = self.stream(queue).await?;
        let config = pull::Config { durable_name: Some("workers".to_owned()), ..Default::default() };
        let consumer = stream.get_or_create_consumer("workers", config).await;
        let consumer = consumer.map_err(|error| format!("cannot consume {queue}: {error}"))?;
        Ok(Consumer { consumer, destination: self.destination(queue, describe) })
    }
}

#[derive(Clone)]
pub(crate) struct Publisher {
    jetstream: jetstream::Context,
    queue: &'static str,
    destination: Destination,
}

impl Publisher {
    pub(super) async fn publish(&self, job: &Job) -> Result<(), String> {
        let body = body::write(job)?;
        let mut headers = HeaderMap::new();
        let send = self.destination.send(&mut headers);
        send.run_async(|| self.deliver(headers, body)).await.map_err(|error| error.to_string())
    }

    async fn deliver(&self, headers: HeaderMap, body: Vec<u8>) -> Result<(), PublishError> {
        self.jetstream.publish_with_headers(self.queue, headers, body.into()).await?.await.map(drop)
    }
}

pub(crate) struct Consumer {
    consumer: PullConsumer,
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
        // One at a time, so that the others find work, too.
        let messages = self.consumer.stream().max_messages_per_batch(1).messages().await;
        let messages = messages.map_err(|error| error.to_string())?;
        let handle = &handle;
        let handle = async |message: Message| body::handle(&message.payload, handle).await;
        let policy = Policy::within(body::LIMIT).decide(verdict);
        let processed = self.destination.try_process_each(messages.take_until(stop), handle, policy).await;
        processed.map(drop).map_err(|error| error.to_string())
    }
}
