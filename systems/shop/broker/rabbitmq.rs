//! RabbitMQ: a direct exchange, and a quorum queue, which counts deliveries, survives the broker and refuses what is too much.

use std::{fmt, time::Duration};

use ctxhop::{
    clients::lapin_4::confirmed,
    messaging::{Destination, Policy, Tally, rabbitmq_name},
};
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    message::Delivery,
    options::{
        BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
        QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
    uri::AMQPUri,
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::time::timeout;

use super::PublishError;
use crate::api::{Order, PROCESSED};

/// How many orders the stock has in hand, or on the way, at most.
const PREFETCH: u16 = 16;

/// A broker that does not answer for so long is not there.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Settings {
    uri: AMQPUri,
    exchange: String,
    queue: String,
    limit: u16,
}

impl Settings {
    pub(super) fn new(uri: &str, exchange: &str, limit: u16) -> Result<Self, String> {
        let uri = uri.parse().map_err(|error| format!("the broker's address is wrong: {error}"))?;
        Ok(Self { uri, exchange: exchange.to_owned(), queue: format!("{exchange}.stock"), limit })
    }

    /// Makes a connection and a channel, and declares there all that the shop needs.
    async fn connect(&self) -> Result<(Connection, Channel), String> {
        // Without the password, which is no business of a log.
        let authority = &self.uri.authority;
        let failed =
            |reason: &dyn fmt::Display| format!("no broker at {}:{}: {reason}", authority.host, authority.port);
        match timeout(PATIENCE, self.declare()).await {
            Ok(declared) => declared.map_err(|error| failed(&error)),
            Err(_) => Err(failed(&format_args!("no answer within {PATIENCE:?}"))),
        }
    }

    async fn declare(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = Connection::connect_uri(self.uri.clone(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;

        let (exchange, queue) = (self.exchange.as_str(), self.queue.as_str());
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(exchange.into(), ExchangeKind::Direct, durable, FieldTable::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(self.limit.into()));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.into(), durable, arguments).await?;
        let bind = QueueBindOptions::default();
        channel.queue_bind(queue.into(), exchange.into(), PROCESSED.into(), bind, FieldTable::default()).await?;
        Ok((connection, channel))
    }

    /// `queue`: none for the end that publishes.
    fn destination(&self, queue: &str, provider: &SdkTracerProvider) -> Destination {
        let authority = &self.uri.authority;
        Destination::new("rabbitmq", rabbitmq_name(&self.exchange, PROCESSED, queue))
            .server(authority.host.as_str(), authority.port)
            .with_tracer_provider(provider)
    }
}

pub(crate) struct Publisher {
    channel: Channel,
    exchange: String,
    destination: Destination,
    /// The channel closes with it.
    _connection: Connection,
}

pub(super) async fn publisher(settings: &Settings, provider: &SdkTracerProvider) -> Result<Publisher, String> {
    let (_connection, channel) = settings.connect().await?;
    let destination = settings.destination("", provider).operation_name("publish");
    Ok(Publisher { channel, exchange: settings.exchange.clone(), destination, _connection })
}

impl Publisher {
    pub(super) async fn publish(&self, order: &Order) -> Result<(), PublishError> {
        let failed = |error: &dyn ToString| PublishError::Failed(error.to_string());
        let body = serde_json::to_vec(order).map_err(|error| failed(&error))?;
        let mut properties = BasicProperties::default().with_delivery_mode(2).with_message_id(order.id.as_str().into());
        let send = self.destination.send(&mut properties).on_ok(confirmed);
        match timeout(PATIENCE, send.run_async(|| self.deliver(&body, properties))).await {
            Ok(Ok(Confirmation::Ack(None) | Confirmation::NotRequested)) => Ok(()),
            // The queue refuses what is over its limit.
            Ok(Ok(Confirmation::Nack(_))) => Err(PublishError::Full),
            Ok(Ok(Confirmation::Ack(Some(returned)))) => Err(failed(&returned.reply_text)),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(failed(&format_args!("the broker has not confirmed it within {PATIENCE:?}"))),
        }
    }

    async fn deliver(&self, body: &[u8], properties: BasicProperties) -> lapin::Result<Confirmation> {
        // What no queue takes comes back.
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let exchange = self.exchange.as_str().into();
        self.channel.basic_publish(exchange, PROCESSED.into(), options, body, properties).await?.await
    }
}

pub(crate) struct Consumer {
    consumer: lapin::Consumer,
    destination: Destination,
    /// The channel closes with it.
    _connection: Connection,
}

pub(super) async fn consumer(settings: &Settings, provider: &SdkTracerProvider) -> Result<Consumer, String> {
    let (_connection, channel) = settings.connect().await?;
    let queue = settings.queue.as_str();
    let consume = async {
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await
    };
    let failed = |reason: &dyn fmt::Display| format!("cannot consume {queue}: {reason}");
    let consumer = match timeout(PATIENCE, consume).await {
        Ok(consumer) => consumer.map_err(|error: lapin::Error| failed(&error))?,
        Err(_) => return Err(failed(&format_args!("no answer within {PATIENCE:?}"))),
    };
    Ok(Consumer { consumer, destination: settings.destination(queue, provider), _connection })
}

impl Consumer {
    pub(super) async fn process_each<F, L, W>(
        self,
        handle: impl Fn(serde_json::Result<Order>) -> F,
        policy: Policy<L>,
        shutdown: impl Future<Output = ()>,
    ) -> lapin::Result<Tally>
    where
        F: Future<Output = Result<(), String>>,
        L: Fn() -> W,
        W: Future,
    {
        let handle = |delivery: Delivery| handle(serde_json::from_slice(&delivery.data));
        Ok(self.destination.try_process_each(self.consumer.take_until(shutdown), handle, policy).await?)
    }
}
