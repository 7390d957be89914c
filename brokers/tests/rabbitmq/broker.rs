//! A channel and a queue for each test.

use ctxhop_brokers::rabbitmq::RabbitMq;
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    message::Delivery,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::timeout;

use crate::LIMIT;

pub(crate) struct Broker {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
    pub(crate) queue: String,
}

impl Broker {
    /// A channel with publisher confirms, and a queue of that name.
    pub(crate) async fn new(queue: &str) -> Self {
        Self::with_arguments(queue, FieldTable::default()).await
    }

    pub(crate) async fn with_arguments(queue: &str, arguments: FieldTable) -> Self {
        Self::declared(queue, QueueDeclareOptions::default(), arguments).await
    }

    /// A queue that outlives the server.
    pub(crate) async fn durable(queue: &str, arguments: FieldTable) -> Self {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        Self::declared(queue, durable, arguments).await
    }

    async fn declared(queue: &str, options: QueueDeclareOptions, arguments: FieldTable) -> Self {
        let connection = Connection::connect(&RabbitMq::shared().uri(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channel.queue_declare(queue.into(), options, arguments).await.unwrap();
        Self { connection, channel, queue: queue.to_owned() }
    }

    /// Publishes to the queue, and waits for the confirmation.
    pub(crate) async fn publish(&self, properties: BasicProperties, body: &str) -> lapin::Result<Confirmation> {
        let options = BasicPublishOptions::default();
        self.channel
            .basic_publish("".into(), self.queue.as_str().into(), options, body.as_bytes(), properties)
            .await?
            .await
    }

    pub(crate) async fn consume(&self) -> Consumer {
        let options = Default::default();
        self.channel.basic_consume(self.queue.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap()
    }
}

/// The next one, which has to come.
pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    timeout(LIMIT, consumer.next()).await.expect("a delivery in time").expect("a delivery").unwrap()
}
