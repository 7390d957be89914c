//! RabbitMQ, by lapin: durable queues behind the default exchange.

use std::sync::Arc;

use ctxhop::{
    clients::lapin_4::confirmed,
    messaging::{Destination, Policy},
};
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
    uri::AMQPUri,
};
use tokio::time::timeout;

use super::{Describe, Failed, Job, body, verdict};

pub(crate) struct RabbitMq {
    connection: Connection,
    host: String,
    port: u16,
}

impl RabbitMq {
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        let uri: AMQPUri = url.parse().map_err(|error| format!("the broker's address is wrong: {error}"))?;
        // Without the password, which is no business of a log.
        let (host, port) = (uri.authority.host.clone(), uri.authority.port);
        match timeout(body::LIMIT, Connection::connect_uri(uri, ConnectionProperties::default())).await {
            Ok(Ok(connection)) => Ok(Self { connection, host, port }),
            Ok(Err(error)) => Err(format!("no broker at {host}:{port}: {error}")),
            Err(_) => Err(format!("no broker at {host}:{port}: no answer within {:?}", body::LIMIT)),
        }
    }

    /// A channel of its own, with confirms, on which the queue is declared.
    async fn open(&self, queue: &str) -> Result<Channel, String> {
        let declare = async {
            let channel = self.connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(queue.into(), durable, FieldTable::default()).await?;
            Ok(channel)
        };
        declare.await.map_err(|error: lapin::Error| format!("cannot declare {queue}: {error}"))
    }

    fn destination(&self, queue: &'static str, describe: Describe<'_>) -> Destination {
        describe(Destination::new("rabbitmq", queue).server(self.host.as_str(), self.port))
    }

    pub(super) async fn publisher(&self, queue: &'static str, describe: Describe<'_>) -> Result<Publisher, String> {
        Ok(Publisher { channel: self.open(queue).await?, queue, destination: self.destination(queue, describe) })
    }

    pub(super) async fn consumer(&self, queue: &'static str, describe: Describe<'_>) -> Result<Consumer, String> {
        let channel = self.open(queue).await?;
        let consume = async {
            channel.basic_qos(1, BasicQosOptions::default()).await?;
            channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await
        };
        let consumer = consume.await.map_err(|error: lapin::Error| format!("cannot consume {queue}: {error}"))?;
        Ok(Consumer { consumer, destination: self.destination(queue, describe), _channel: channel })
    }
}

#[derive(Clone)]
pub(crate) struct Publisher {
    channel: Channel,
    queue: &'static str,
    destination: Destination,
}

impl Publisher {
    pub(super) async fn publish(&self, job: &Job) -> Result<(), String> {
        let body = body::write(job)?;
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        let send = self.destination.send(&mut properties).on_ok(confirmed);
        match send.run_async(|| self.deliver(&body, properties)).await {
            Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => Ok(()),
            Ok(refused) => Err(format!("the broker has refused it: {refused:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn deliver(&self, body: &[u8], properties: BasicProperties) -> lapin::Result<Confirmation> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        self.channel.basic_publish("".into(), self.queue.into(), options, body, properties).await?.await
    }
}

pub(crate) struct Consumer {
    consumer: lapin::Consumer,
    destination: Destination,
    /// The consumer ends with it.
    _channel: Channel,
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
        let handle = async |delivery: Delivery| body::handle(&delivery.data, handle).await;
        let policy = Policy::within(body::LIMIT).decide(verdict);
        let processed = self.destination.try_process_each(self.consumer.take_until(stop), handle, policy).await;
        processed.map(drop).map_err(|error| error.to_string())
    }
}
