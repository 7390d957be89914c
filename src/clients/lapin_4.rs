#![doc = include_str!("lapin_4.md")]

use std::{error::Error, fmt, mem, str::from_utf8};

use ::lapin::{
    Acker, BasicProperties, Confirmation,
    message::{BasicGetMessage, BasicReturnMessage, Delivery},
    options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use opentelemetry::KeyValue;

use crate::{
    carrier::{Carrier, NOT_TEXT, by_field, same_key},
    conventions::{
        self, MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_CONVERSATION_ID, MESSAGING_MESSAGE_ID,
        MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY, MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG, NACK, RETURNED,
    },
    messaging::{Delivered, Destination, Failure, Report, StreamError, rabbitmq_name},
};

/// Keys of up to 255 bytes; a longer one is refused.
impl Carrier for FieldTable {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.inner()
            .iter()
            .filter(move |(name, _)| same_key(name.as_str(), key))
            .map(|(_, value)| text(value).unwrap_or(NOT_TEXT))
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.inner().keys().map(ShortString::as_str)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let Ok(name) = ShortString::try_new(key) else { return false };
        Carrier::remove(self, key);
        // A short string as a value makes RabbitMQ close the connection.
        self.insert(name, AMQPValue::LongString(value.into()));
        true
    }

    fn remove(&mut self, key: &str) {
        // The table has no way to remove anything.
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut others = mem::take(self).inner().clone();
            others.retain(|name, _| !same_key(name.as_str(), key));
            *self = others.into();
        }
    }
}

/// What other clients may have written text as.
fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        AMQPValue::ByteArray(bytes) => from_utf8(bytes.as_slice()).ok(),
        _ => None,
    }
}

/// The headers among the properties. They describe the message's id and its correlation id.
impl Carrier for BasicProperties {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers().get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers().keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        // The properties only lend their headers, so that they have to be copied.
        let mut headers = self.headers().clone().unwrap_or_default();
        let set = headers.set(key, value);
        if set {
            *self = mem::take(self).with_headers(headers);
        }
        set
    }

    fn remove(&mut self, key: &str) {
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut headers = self.headers().clone().unwrap_or_default();
            headers.remove(key);
            *self = mem::take(self).with_headers(headers);
        }
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let attribute =
            |key, value: &Option<ShortString>| Some(KeyValue::new(key, value.as_ref()?.as_str().to_owned()));
        let id = attribute(MESSAGING_MESSAGE_ID, self.message_id());
        id.into_iter().chain(attribute(MESSAGING_MESSAGE_CONVERSATION_ID, self.correlation_id()))
    }
}

/// The headers of its properties. It describes what they do, its routing key, delivery tag and size, and how often it was
/// delivered, as far as that is known.
impl Carrier for Delivery {
    by_field! { properties }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let own = [
            KeyValue::new(MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY, self.routing_key.as_str().to_owned()),
            KeyValue::new(MESSAGING_RABBITMQ_MESSAGE_DELIVERY_TAG, signed(self.delivery_tag)),
            KeyValue::new(MESSAGING_MESSAGE_BODY_SIZE, signed(self.data.len() as u64)),
        ];
        let count = self.delivery_count();
        let count = count.map(|count| KeyValue::new(conventions::delivery_count("rabbitmq"), signed(count)));
        self.properties.describe().chain(own).chain(count)
    }
}

/// How often the message was delivered before, by the header of quorum queues. A producer may write it as well, and only a
/// quorum queue overwrites it.
fn delivered_before(delivery: &Delivery) -> Option<u64> {
    match delivery.properties.headers().as_ref()?.inner().get("x-delivery-count")? {
        AMQPValue::ShortShortInt(count) => u64::try_from(*count).ok(),
        AMQPValue::ShortShortUInt(count) => Some((*count).into()),
        AMQPValue::ShortInt(count) => u64::try_from(*count).ok(),
        AMQPValue::ShortUInt(count) => Some((*count).into()),
        AMQPValue::LongInt(count) => u64::try_from(*count).ok(),
        AMQPValue::LongUInt(count) => Some((*count).into()),
        AMQPValue::LongLongInt(count) => u64::try_from(*count).ok(),
        _ => None,
    }
}

/// The API's integers are signed; no message is that big.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

macro_rules! by_its_delivery {
    ($($message:ty)+) => {$(
        /// As its [`Delivery`].
        impl Carrier for $message {
            by_field! { delivery }

            fn describe(&self) -> impl Iterator<Item = KeyValue> {
                self.delivery.describe()
            }
        }
    )+};
}

by_its_delivery! { BasicGetMessage BasicReturnMessage }

/// Tells an operation what the confirmation of its publish says, by [`on_ok`](crate::messaging::Operation::on_ok): lapin
/// returns an `Ok` also for a message that the broker did not take, or could route nowhere.
///
/// # Examples
///
/// See the [module](self).
pub fn confirmed(confirmation: &Confirmation, report: &mut Report<'_>) {
    match confirmation {
        Confirmation::Nack(_) => report.fail(Failure::new(NACK, "the broker did not take the message")),
        Confirmation::Ack(Some(returned)) => {
            report.fail(Failure::new(RETURNED, format!("{} {}", returned.reply_code, returned.reply_text)));
        }
        Confirmation::Ack(None) | Confirmation::NotRequested => {}
    }
}

/// `ack` is a `basic.ack`, `retry` a `basic.nack` that puts the message back into the queue, `reject` a `basic.reject`, by
/// which it goes to the queue's dead letters, or is dropped if the queue has none.
///
/// The handler takes the delivery itself. It can settle the delivery, too; then the loop's settlement is
/// [`SettleError::Refused`].
impl Delivered for Delivery {
    type Message = Self;
    type Error = SettleError;

    /// The acker stays here as well.
    fn message(&mut self) -> Self {
        let nothing = || ShortString::from("");
        let mut settled = Self::mock(self.delivery_tag, nothing(), nothing(), self.redelivered, Vec::new());
        settled.acker = self.acker.clone();
        mem::replace(self, settled)
    }

    /// One for the first delivery, in every queue. After that only a quorum queue counts, by the header `x-delivery-count`.
    ///
    /// In a classic queue a producer can write this header, and no delivery tells what kind of queue it comes from. So the
    /// header counts only for a message that the broker calls redelivered, and then as two or more: such a producer gets its
    /// message rejected early, but never keeps it going round.
    fn delivery_count(&self) -> Option<u64> {
        if !self.redelivered {
            return Some(1);
        }
        delivered_before(self).map(|before| before.saturating_add(1).max(2))
    }

    /// Two for a message that was delivered before, where nobody counts.
    fn delivered_at_least(&self) -> u64 {
        self.delivery_count().unwrap_or(2)
    }

    /// By its exchange and its routing key, if they do not say what the queue's name does.
    fn destination(&self, consumer: &Destination) -> Destination {
        let name = rabbitmq_name(self.exchange.as_str(), self.routing_key.as_str(), consumer.name());
        if name == consumer.name() { consumer.clone() } else { consumer.at(name) }
    }

    async fn ack(self) -> Result<(), SettleError> {
        settled(self.acker, async |acker| acker.ack(BasicAckOptions::default()).await).await
    }

    async fn retry(self) -> Result<(), SettleError> {
        let requeue = BasicNackOptions { requeue: true, ..Default::default() };
        settled(self.acker, async |acker| acker.nack(requeue).await).await
    }

    async fn reject(self) -> Result<(), SettleError> {
        settled(self.acker, async |acker| acker.reject(BasicRejectOptions::default()).await).await
    }
}

async fn settled(acker: Acker, settle: impl AsyncFnOnce(&Acker) -> ::lapin::Result<bool>) -> Result<(), SettleError> {
    match settle(&acker).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(SettleError::Refused),
        Err(error) => Err(SettleError::Failed(error)),
    }
}

/// So that `?` makes the one of the other, where a consumer loop ends.
impl From<StreamError<Self>> for ::lapin::Error {
    fn from(ended: StreamError<Self>) -> Self {
        ended.error
    }
}

/// A delivery could not be settled. RabbitMQ delivers the message again, unless it was settled before.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettleError {
    /// The connection or the channel has failed.
    Failed(::lapin::Error),
    /// The delivery was settled before, or its channel is closed. lapin says so by an `Ok(false)`.
    Refused,
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Refused => f.write_str("the delivery was settled before, or its channel is closed"),
        }
    }
}

impl Error for SettleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Refused => None,
        }
    }
}
