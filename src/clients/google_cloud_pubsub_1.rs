#![doc = include_str!("google_cloud_pubsub_1.md")]

use std::{fmt, mem};

use ::google_cloud_pubsub::{
    Error,
    client::Publisher,
    error::{AckError, PublishError},
    model::Message,
    subscriber::{MessageStream, handler::Handler},
};
use futures_core::Stream;
use futures_util::stream;
use opentelemetry::KeyValue;

use crate::{
    carrier::{Carrier, by_field, is_line, same_key, without_prefix},
    conventions::{self, MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY, MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_ID},
    messaging::{Delivered, Report, StreamError},
};

/// Google's own clients begin the keys of the context with it.
const PREFIX: &str = "googclient_";

// Pub/Sub refuses a message with more: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const MAX_ATTRIBUTES: usize = 100;
const MAX_KEY_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 1024;

/// The attributes whose keys begin with `googclient_`, without that prefix. It refuses what Pub/Sub refuses: a key of
/// more than 256 bytes, a value of more than 1,024, an attribute after the hundredth. It describes its id, its size, and
/// its ordering key.
///
/// `message.attributes` is a carrier as well: the one without the prefix.
impl Carrier for Message {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let named = self.attributes.iter().filter(move |(name, _)| is(name, key));
        named.map(|(_, value)| value.as_str())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().filter_map(|name| without_prefix(name, PREFIX))
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let fits = PREFIX.len() + key.len() <= MAX_KEY_BYTES && value.len() <= MAX_VALUE_BYTES;
        if !fits || !is_line(key) || !is_line(&value) {
            return false;
        }
        Carrier::remove(self, key);
        let has_room = self.attributes.len() < MAX_ATTRIBUTES;
        if has_room {
            self.attributes.insert(format!("{PREFIX}{key}"), value);
        }
        has_room
    }

    fn remove(&mut self, key: &str) {
        self.attributes.retain(|name, _| !is(name, key));
    }

    fn room(&self, _key: &str) -> usize {
        MAX_VALUE_BYTES
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let text = |key, value: &String| (!value.is_empty()).then(|| KeyValue::new(key, value.clone()));
        let size = i64::try_from(self.data.len()).unwrap_or(i64::MAX);
        let own = [KeyValue::new(MESSAGING_MESSAGE_BODY_SIZE, size)];
        own.into_iter()
            .chain(text(MESSAGING_MESSAGE_ID, &self.message_id))
            .chain(text(MESSAGING_GCP_PUBSUB_MESSAGE_ORDERING_KEY, &self.ordering_key))
    }
}

fn is(name: &str, key: &str) -> bool {
    without_prefix(name, PREFIX).is_some_and(|name| same_key(name, key))
}

/// Tells an operation the id that Pub/Sub gave to its message, by [`on_ok`](crate::messaging::Operation::on_ok).
///
/// # Examples
///
/// See the [module](self).
#[expect(clippy::ptr_arg, reason = "`on_ok` takes a function of what the client returns")]
pub fn published(id: &String, report: &mut Report<'_>) {
    report.message_id(id.as_str());
}

/// The messages of a subscription, for the consumer loop.
///
/// The stream ends when the client's stream does: after its
/// [`shutdown_token`](MessageStream::shutdown_token) is used, or after an error that the client does not retry.
///
/// # Examples
///
/// See the [module](self).
pub fn deliveries(messages: MessageStream) -> impl Stream<Item = Result<Delivery, Error>> + Send {
    stream::unfold(messages, async |mut messages| {
        let next = messages.next().await?;
        Some((next.map(|(message, handler)| Delivery::new(message, handler)), messages))
    })
}

/// A message of a subscription, with what settles it.
#[derive(Debug)]
pub struct Delivery {
    message: Message,
    handler: Handler,
    dead_letters: Option<Publisher>,
}

impl Delivery {
    /// Puts together what the client gives: [`MessageStream::next`].
    #[must_use]
    pub const fn new(message: Message, handler: Handler) -> Self {
        Self { message, handler, dead_letters: None }
    }

    /// Has a rejected message published there, and then acknowledged. Without it, to reject is to leave the message to the
    /// subscription's own dead-letter policy.
    #[must_use]
    pub fn dead_letters(self, publisher: Publisher) -> Self {
        Self { dead_letters: Some(publisher), ..self }
    }

    /// The message and what settles it.
    #[must_use]
    pub fn into_parts(self) -> (Message, Handler) {
        (self.message, self.handler)
    }
}

/// Its message. It describes what that does, and the number of this attempt at delivery.
impl Carrier for Delivery {
    by_field! { message }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let attempt = self.handler.delivery_attempt();
        let attempt =
            attempt.map(|attempt| KeyValue::new(conventions::delivery_count("gcp_pubsub"), i64::from(attempt)));
        self.message.describe().chain(attempt)
    }
}

/// `ack` is an acknowledgement, and `retry` a negative one. `reject` publishes the message to the
/// [dead letters](Delivery::dead_letters) and acknowledges it; without those it is a negative acknowledgement too.
///
/// With exactly-once delivery each waits until the server confirms it. Without, Pub/Sub confirms nothing: `Ok` says that the client
/// sends it.
impl Delivered for Delivery {
    type Message = Message;
    type Error = SettleError;

    fn message(&mut self) -> Message {
        // A dead letter needs all of it. Bytes are shared.
        if self.dead_letters.is_some() { self.message.clone() } else { mem::take(&mut self.message) }
    }

    fn delivery_count(&self) -> Option<u64> {
        u64::try_from(self.handler.delivery_attempt()?).ok()
    }

    async fn ack(self) -> Result<(), SettleError> {
        acknowledge(self.handler).await
    }

    async fn retry(self) -> Result<(), SettleError> {
        refuse(self.handler).await
    }

    async fn reject(self) -> Result<(), SettleError> {
        let Some(publisher) = self.dead_letters else { return refuse(self.handler).await };
        // The server gives it both anew, and refuses a message that has them.
        let mut letter = self.message;
        letter.message_id.clear();
        letter.publish_time = None;
        let key = letter.ordering_key.clone();
        if let Err(error) = publisher.publish(letter).await {
            // After a failure the client refuses all messages of that key until it is told to go on.
            publisher.resume_publish(key);
            return Err(SettleError::DeadLetter(error));
        }
        acknowledge(self.handler).await
    }
}

async fn acknowledge(handler: Handler) -> Result<(), SettleError> {
    match handler {
        Handler::ExactlyOnce(handler) => handler.confirmed_ack().await.map_err(SettleError::Settle),
        other => {
            other.ack();
            Ok(())
        }
    }
}

async fn refuse(handler: Handler) -> Result<(), SettleError> {
    match handler {
        Handler::ExactlyOnce(handler) => handler.confirmed_nack().await.map_err(SettleError::Settle),
        other => {
            other.nack();
            Ok(())
        }
    }
}

/// Leaves out the loop's tally, so that `?` works in a function that fails as Google's client does.
impl From<StreamError<Self>> for Error {
    fn from(ended: StreamError<Self>) -> Self {
        ended.error
    }
}

/// Why a message is not settled. Pub/Sub delivers it again.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettleError {
    /// Pub/Sub did not confirm the acknowledgement.
    Settle(AckError),
    /// The dead letter could not be published.
    DeadLetter(PublishError),
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settle(error) => error.fmt(f),
            Self::DeadLetter(error) => write!(f, "the dead letter is not published: {error}"),
        }
    }
}

impl std::error::Error for SettleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Settle(error) => error.source(),
            Self::DeadLetter(error) => error.source(),
        }
    }
}
