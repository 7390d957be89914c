//! Kafka, by rdkafka: a topic for each queue, and a group of consumers by the same name.

use std::{future::ready, sync::Arc};

use ctxhop::{
    clients::rdkafka_0_39::{Consumed, delivered, records},
    messaging::{Destination, Policy},
};
use futures::{Stream, StreamExt};
use rdkafka::{
    ClientConfig, Message,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::OwnedMessage,
    producer::{FutureProducer, FutureRecord, Producer, future_producer::Delivery},
    util::Timeout,
};

use super::{Describe, Failed, Job, body, verdict};
use crate::complain;

pub(crate) struct Kafka {
    config: ClientConfig,
    producer: FutureProducer,
    servers: String,
}

impl Kafka {
    pub(super) fn connect(url: &str) -> Result<Self, String> {
        let servers = url.trim_start_matches("kafka://").to_owned();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &servers);
        let failed = |error| format!("no broker at {servers}: {error}");
        let producer: FutureProducer = config.create().map_err(failed)?;
        // To make a client connects to nothing.
        producer.client().fetch_metadata(None, body::LIMIT).map_err(failed)?;
        Ok(Self { config, producer, servers })
    }

    fn destination(&self, topic: &'static str, describe: Describe<'_>) -> Destination {
        let (host, port) = self.servers.rsplit_once(':').unwrap_or((&self.servers, ""));
        describe(Destination::new("kafka", topic).server(host, port.parse::<u16>().ok()).consumer_group(topic))
    }

    pub(super) fn publisher(&self, topic: &'static str, describe: Describe<'_>) -> Result<Publisher, String> {
        // Brokers create a topic when they are asked about it; a consumer that comes before would wait for minutes.
        let asked = self.producer.client().fetch_metadata(Some(topic), body::LIMIT);
        asked.map_err(|error| format!("cannot create {topic}: {error}"))?;
        Ok(Publisher { producer: self.producer.clone(), topic, destination: self.destination(topic, describe) })
    }

    pub(super) fn consumer(&self, topic: &'static str, describe: Describe<'_>) -> Result<Consumer, String> {
        let mut config = self.config.clone();
        config.set("group.id", topic).set("auto.offset.reset", "earliest");
        // How long a broker may wait for more to send, by default half a second.
        config.set("fetch.wait.max.ms", "20");
        // The consumer loop stores an offset when its record is done.
        config.set("enable.auto.offset.store", "false");
        let failed = |error| format!("cannot consume {topic}: {error}");
        let consumer: StreamConsumer = config.create().map_err(failed)?;
        consumer.client().fetch_metadata(Some(topic), body::LIMIT).map_err(failed)?;
        consumer.subscribe(&[topic]).map_err(failed)?;
        Ok(Consumer { consumer, destination: self.destination(topic, describe) })
    }
}

#[derive(Clone)]
pub(crate) struct Publisher {
    producer: FutureProducer,
    topic: &'static str,
    destination: Destination,
}

impl Publisher {
    pub(super) async fn publish(&self, job: &Job) -> Result<(), String> {
        let body = body::write(job)?;
        let mut record = FutureRecord::to(self.topic).key(&job.notification.id).payload(&body);
        let send = self.destination.send(&mut record).on_ok(delivered);
        send.run_async(|| self.deliver(record)).await.map(drop).map_err(|error| error.to_string())
    }

    async fn deliver(&self, record: FutureRecord<'_, String, Vec<u8>>) -> KafkaResult<Delivery> {
        self.producer.send(record, Timeout::After(body::LIMIT)).await.map_err(|(error, _)| error)
    }
}

pub(crate) struct Consumer {
    consumer: StreamConsumer,
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
        let handle = &handle;
        let handle = async |record: OwnedMessage| body::handle(record.payload().unwrap_or_default(), handle).await;
        let policy = Policy::within(body::LIMIT).decide(verdict);
        let records = readable(&self.consumer).map_err(|error| error.to_string())?;
        self.destination.process_each(records.take_until(stop), handle, policy).await;
        // From time to time the client commits what is stored, and now the rest of it.
        match self.consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
            Err(error) => Err(format!("cannot commit: {error}")),
        }
    }
}

/// Most errors mend themselves, and the stream goes on after them. (A function, because with the closure in it the loop's future could
/// not be spawned: the compiler takes it for one of a single lifetime.)
fn readable(consumer: &StreamConsumer) -> KafkaResult<impl Stream<Item = Consumed<'_>>> {
    let report = |record: KafkaResult<_>| record.inspect_err(|error| complain(format_args!("kafka: {error}")));
    Ok(records(consumer)?.filter_map(move |record| ready(report(record).ok())))
}
