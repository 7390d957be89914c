//! What is between batch and workers: queues of this process, or those of a broker. Each client is in the file of its name, and
//! compiled where the feature of its name is on.

#[cfg(feature = "rdkafka-0_39")]
mod kafka;
mod memory;
#[cfg(feature = "rumqttc-0_25")]
mod mqtt;
#[cfg(feature = "async-nats-0_51")]
mod nats;
#[cfg(feature = "lapin-4")]
mod rabbitmq;
#[cfg(feature = "redis-1")]
mod redis;

use std::{fmt, sync::Arc, time::SystemTime};

use ctxhop::messaging::{Destination, Verdict};
use serde::{Deserialize, Serialize};

use crate::input::Notification;

/// The brokers that this program knows, and what to compile it with for them.
const SCHEMES: [&str; 5] = ["amqp", "kafka", "mqtt", "nats", "redis"];

/// What travels through the queues.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(crate) notification: Notification,
    pub(crate) read_at: SystemTime,
    /// Why it was parked, if it was.
    pub(crate) reason: Option<String>,
}

/// What tells a job from all others.
pub(crate) type Key = (String, SystemTime);

impl Job {
    pub(crate) fn key(&self) -> Key {
        (self.notification.id.clone(), self.read_at)
    }
}

/// Why a job is not done.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It is worth another attempt.
    Again(String),
    /// It goes on elsewhere, or cannot be read.
    Finally(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Again(reason) | Self::Finally(reason)) = self;
        f.write_str(reason)
    }
}

/// What becomes of a job that was handled.
fn verdict(result: &Result<(), Failed>) -> Verdict {
    match result {
        Ok(()) => Verdict::Ack,
        Err(Failed::Again(_)) => Verdict::Retry,
        Err(Failed::Finally(_)) => Verdict::Reject,
    }
}

/// Completes the description of a queue: where its spans go, and what goes through the headers.
pub(crate) type Describe<'a> = &'a dyn Fn(Destination) -> Destination;

pub(crate) enum Broker {
    Memory(memory::Queues),
    #[cfg(feature = "rdkafka-0_39")]
    Kafka(kafka::Kafka),
    #[cfg(feature = "rumqttc-0_25")]
    Mqtt(mqtt::Mqtt),
    #[cfg(feature = "async-nats-0_51")]
    Nats(nats::Nats),
    #[cfg(feature = "lapin-4")]
    RabbitMq(rabbitmq::RabbitMq),
    #[cfg(feature = "redis-1")]
    Redis(redis::Redis),
}

impl Broker {
    /// `url`: none for queues of this process.
    pub(crate) async fn connect(url: Option<&str>) -> Result<Self, String> {
        let Some(url) = url else { return Ok(Self::Memory(memory::Queues::default())) };
        match url.split_once("://").map(|(scheme, _)| scheme) {
            #[cfg(feature = "lapin-4")]
            Some("amqp") => rabbitmq::RabbitMq::connect(url).await.map(Self::RabbitMq),
            #[cfg(feature = "rdkafka-0_39")]
            Some("kafka") => kafka::Kafka::connect(url).map(Self::Kafka),
            #[cfg(feature = "rumqttc-0_25")]
            Some("mqtt") => mqtt::Mqtt::connect(url).await.map(Self::Mqtt),
            #[cfg(feature = "async-nats-0_51")]
            Some("nats") => nats::Nats::connect(url).await.map(Self::Nats),
            #[cfg(feature = "redis-1")]
            Some("redis") => redis::Redis::connect(url).await.map(Self::Redis),
            Some(scheme) if SCHEMES.contains(&scheme) => Err(format!(
                "this build has no client for {scheme}://; `cargo run --manifest-path systems/Cargo.toml --bin notifications` has it"
            )),
            // Without what follows, which may have a password.
            Some(scheme) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Err(format!("the broker has to be {}://…, and not {scheme}://…", SCHEMES.join("://…, ")))
            }
            _ => Err(format!("the broker has to be {}://…", SCHEMES.join("://…, "))),
        }
    }

    /// The end of a queue where jobs go in. Of a queue of this process, ask for this end first.
    pub(crate) async fn publisher(&self, queue: &'static str, describe: Describe<'_>) -> Result<Publisher, String> {
        match self {
            Self::Memory(queues) => Ok(Publisher::Memory(queues.publisher(queue, describe))),
            #[cfg(feature = "rdkafka-0_39")]
            Self::Kafka(kafka) => kafka.publisher(queue, describe).map(Publisher::Kafka),
            #[cfg(feature = "rumqttc-0_25")]
            Self::Mqtt(mqtt) => Ok(Publisher::Mqtt(mqtt.publisher(queue, describe))),
            #[cfg(feature = "async-nats-0_51")]
            Self::Nats(nats) => nats.publisher(queue, describe).await.map(Publisher::Nats),
            #[cfg(feature = "lapin-4")]
            Self::RabbitMq(rabbitmq) => rabbitmq.publisher(queue, describe).await.map(Publisher::RabbitMq),
            #[cfg(feature = "redis-1")]
            Self::Redis(redis) => Ok(Publisher::Redis(redis.publisher(queue, describe))),
        }
    }

    /// Ends of a queue where jobs come out, for so many workers at most. They compete.
    pub(crate) async fn consumers(
        &self,
        queue: &'static str,
        workers: usize,
        describe: Describe<'_>,
    ) -> Result<Vec<Consumer>, String> {
        let workers = match self {
            // Its consumers share partitions, of which a topic may have one.
            #[cfg(feature = "rdkafka-0_39")]
            Self::Kafka(_) => 1,
            _ => workers,
        };
        let mut consumers = Vec::with_capacity(workers);
        for _ in 0..workers {
            consumers.push(self.consumer(queue, describe).await?);
        }
        Ok(consumers)
    }

    async fn consumer(&self, queue: &'static str, describe: Describe<'_>) -> Result<Consumer, String> {
        match self {
            Self::Memory(queues) => Ok(Consumer::Memory(queues.consumer(queue, describe))),
            #[cfg(feature = "rdkafka-0_39")]
            Self::Kafka(kafka) => kafka.consumer(queue, describe).map(Consumer::Kafka),
            #[cfg(feature = "rumqttc-0_25")]
            Self::Mqtt(mqtt) => mqtt.consumer(queue, describe).await.map(Consumer::Mqtt),
            #[cfg(feature = "async-nats-0_51")]
            Self::Nats(nats) => nats.consumer(queue, describe).await.map(|it| Consumer::Nats(Box::new(it))),
            #[cfg(feature = "lapin-4")]
            Self::RabbitMq(rabbitmq) => {
                rabbitmq.consumer(queue, describe).await.map(|it| Consumer::RabbitMq(Box::new(it)))
            }
            #[cfg(feature = "redis-1")]
            Self::Redis(redis) => redis.consumer(queue, describe).await.map(|it| Consumer::Redis(Box::new(it))),
        }
    }
}

#[derive(Clone)]
pub(crate) enum Publisher {
    Memory(memory::Publisher),
    #[cfg(feature = "rdkafka-0_39")]
    Kafka(kafka::Publisher),
    #[cfg(feature = "rumqttc-0_25")]
    Mqtt(mqtt::Publisher),
    #[cfg(feature = "async-nats-0_51")]
    Nats(nats::Publisher),
    #[cfg(feature = "lapin-4")]
    RabbitMq(rabbitmq::Publisher),
    #[cfg(feature = "redis-1")]
    Redis(redis::Publisher),
}

impl Publisher {
    /// Returns when the broker has the job.
    pub(crate) async fn publish(&self, job: Arc<Job>) -> Result<(), String> {
        match self {
            Self::Memory(publisher) => publisher.publish(job).await,
            #[cfg(feature = "rdkafka-0_39")]
            Self::Kafka(publisher) => publisher.publish(&job).await,
            #[cfg(feature = "rumqttc-0_25")]
            Self::Mqtt(publisher) => publisher.publish(&job).await,
            #[cfg(feature = "async-nats-0_51")]
            Self::Nats(publisher) => publisher.publish(&job).await,
            #[cfg(feature = "lapin-4")]
            Self::RabbitMq(publisher) => publisher.publish(&job).await,
            #[cfg(feature = "redis-1")]
            Self::Redis(publisher) => publisher.publish(&job).await,
        }
    }
}

pub(crate) enum Consumer {
    Memory(memory::Consumer),
    #[cfg(feature = "rdkafka-0_39")]
    Kafka(kafka::Consumer),
    #[cfg(feature = "rumqttc-0_25")]
    Mqtt(mqtt::Consumer),
    #[cfg(feature = "async-nats-0_51")]
    Nats(Box<nats::Consumer>),
    #[cfg(feature = "lapin-4")]
    RabbitMq(Box<rabbitmq::Consumer>),
    #[cfg(feature = "redis-1")]
    Redis(Box<redis::Consumer>),
}

impl Consumer {
    /// Handles one job after another, until `stop`.
    pub(crate) async fn process_each<F>(
        self,
        handle: impl Fn(Arc<Job>) -> F,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String>
    where
        F: Future<Output = Result<(), Failed>>,
    {
        match self {
            Self::Memory(consumer) => {
                consumer.process_each(handle, stop).await;
                Ok(())
            }
            #[cfg(feature = "rdkafka-0_39")]
            Self::Kafka(consumer) => consumer.process_each(handle, stop).await,
            #[cfg(feature = "rumqttc-0_25")]
            Self::Mqtt(consumer) => consumer.process_each(handle, stop).await,
            #[cfg(feature = "async-nats-0_51")]
            Self::Nats(consumer) => consumer.process_each(handle, stop).await,
            #[cfg(feature = "lapin-4")]
            Self::RabbitMq(consumer) => consumer.process_each(handle, stop).await,
            #[cfg(feature = "redis-1")]
            Self::Redis(consumer) => consumer.process_each(handle, stop).await,
        }
    }
}

/// What the clients share: a job is JSON in a message's body.
#[cfg(any(
    feature = "async-nats-0_51",
    feature = "lapin-4",
    feature = "rdkafka-0_39",
    feature = "redis-1",
    feature = "rumqttc-0_25"
))]
mod body {
    use std::{sync::Arc, time::Duration};

    use super::{Failed, Job};

    /// What takes a broker longer is given up.
    pub(super) const LIMIT: Duration = Duration::from_secs(10);

    pub(super) fn write(job: &Job) -> Result<Vec<u8>, String> {
        serde_json::to_vec(job).map_err(|error| error.to_string())
    }

    /// Handles the job in this body, if it is one.
    pub(super) async fn handle<F>(body: &[u8], handle: impl Fn(Arc<Job>) -> F) -> Result<(), Failed>
    where
        F: Future<Output = Result<(), Failed>>,
    {
        match serde_json::from_slice(body) {
            Ok(job) => handle(Arc::new(job)).await,
            Err(error) => Err(Failed::Finally(format!("no job: {error}"))),
        }
    }
}
