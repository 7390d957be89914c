//! The messages of rdkafka on its mock cluster, one for each test.

mod headers;
mod hostile;
mod partition;
mod records;
mod settling;
mod unsettled;

use std::time::Duration;

use rdkafka::{
    consumer::StreamConsumer,
    error::KafkaError,
    message::{BorrowedMessage, ToBytes},
    producer::{FutureProducer, FutureRecord, future_producer::Delivery},
};
use tokio::time::timeout;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends it, and waits for the replicas.
async fn deliver<K: ToBytes + ?Sized, P: ToBytes + ?Sized>(
    producer: &FutureProducer,
    record: FutureRecord<'_, K, P>,
) -> Result<Delivery, KafkaError> {
    producer.send(record, LIMIT).await.map_err(|(error, _)| error)
}

/// The next one, which has to come.
async fn next(consumer: &StreamConsumer) -> BorrowedMessage<'_> {
    timeout(LIMIT, consumer.recv()).await.expect("a record in time").unwrap()
}
