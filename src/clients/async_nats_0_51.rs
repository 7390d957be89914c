#![doc = include_str!("async_nats_0_51.md")]

use std::mem;

use ::async_nats::{
    Error, HeaderMap, HeaderName, HeaderValue, Message,
    header::NATS_MESSAGE_ID,
    jetstream::{self, AckKind, consumer::pull::MessagesError},
    message::OutboundMessage,
};
use opentelemetry::KeyValue;

use crate::{
    carrier::{Carrier, by_field, same_key},
    conventions::{self, MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_ID},
    messaging::{Delivered, Destination, StreamError},
};

/// Values of one name keep their order, names do not.
impl Carrier for HeaderMap {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let named = self.iter().filter(move |(name, _)| same_key(text(name), key));
        named.flat_map(|(_, values)| values).map(HeaderValue::as_str)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| text(name))
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        // Their `From` panics on what the protocol has no room for.
        let (Ok(name), Ok(value)) = (HeaderName::try_from(key), value.parse::<HeaderValue>()) else { return false };
        Carrier::remove(self, key);
        self.insert(name, value);
        true
    }

    fn remove(&mut self, key: &str) {
        // The map has no way to remove anything.
        if Carrier::keys(self).any(|name| same_key(name, key)) {
            let mut others = Self::new();
            for (name, values) in self.iter().filter(|(name, _)| !same_key(text(name), key)) {
                for value in values {
                    others.append(name.clone(), value.clone());
                }
            }
            *self = others;
        }
    }
}

fn text(name: &HeaderName) -> &str {
    name.as_ref()
}

macro_rules! by_its_headers {
    ($(#[$doc:meta] $message:ty: $($headers:ident).+, |$this:ident| $describe:expr;)+) => {$(
        #[$doc]
        impl Carrier for $message {
            by_field! { $($headers).+ or default }

            fn describe(&self) -> impl Iterator<Item = KeyValue> {
                let $this = self;
                $describe
            }
        }
    )+};
}

by_its_headers! {
    /// Its headers. It describes its id, if it has one, and its size.
    Message: headers, |message| describe(&message.headers, &message.payload);
    /// Its headers. It describes its id, if it has one, and its size.
    OutboundMessage: headers, |message| describe(&message.headers, &message.payload);
    /// The headers of its message. It describes what that does, and how often it was delivered.
    jetstream::Message: message.headers, |message| message.message.describe().chain(delivery_count(message));
    /// Its headers. It describes its id, if it has one, and its size.
    jetstream::message::OutboundMessage: headers, |message| describe(&message.headers, &message.payload);
}

fn describe(headers: &Option<HeaderMap>, payload: &[u8]) -> impl Iterator<Item = KeyValue> {
    let id = headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID));
    let id = id.map(|id| KeyValue::new(MESSAGING_MESSAGE_ID, id.as_str().to_owned()));
    let size = i64::try_from(payload.len()).unwrap_or(i64::MAX);
    id.into_iter().chain([KeyValue::new(MESSAGING_MESSAGE_BODY_SIZE, size)])
}

fn delivery_count(message: &jetstream::Message) -> Option<KeyValue> {
    let count = message.info().ok()?.delivered;
    Some(KeyValue::new(conventions::delivery_count("nats"), count))
}

/// `ack` is an acknowledgement, `retry` is a negative one, `reject` is a termination. Each waits until the server confirms
/// it, because it is lost else when the connection is; work on several messages at once, so that they do not wait for each
/// other.
///
/// The handler takes the message itself, so that it can say that it is still at work: `message.ack_with(AckKind::Progress)`.
impl Delivered for jetstream::Message {
    type Message = Self;
    type Error = Error;

    /// The subject and where to reply stay here as well.
    fn message(&mut self) -> Self {
        let message = Message {
            headers: self.message.headers.take(),
            payload: mem::take(&mut self.message.payload),
            ..self.message.clone()
        };
        Self { message, context: self.context.clone() }
    }

    fn delivery_count(&self) -> Option<u64> {
        u64::try_from(self.info().ok()?.delivered).ok()
    }

    /// By its subject, where the consumer's is another: a wildcard, the name of a stream.
    fn destination(&self, consumer: &Destination) -> Destination {
        let subject = self.message.subject.as_str();
        if subject == consumer.name() { consumer.clone() } else { consumer.at(subject) }
    }

    async fn ack(self) -> Result<(), Error> {
        settle(&self, AckKind::Ack).await
    }

    async fn retry(self) -> Result<(), Error> {
        settle(&self, AckKind::Nak(None)).await
    }

    async fn reject(self) -> Result<(), Error> {
        settle(&self, AckKind::Term).await
    }
}

/// Settles, and waits for the server. The client's own `double_ack` takes any answer for a yes, also the server's "no responders",
/// which it gives once the consumer or the stream is gone.
async fn settle(message: &jetstream::Message, kind: AckKind) -> Result<(), Error> {
    let Some(reply) = message.message.reply.clone() else { return message.double_ack_with(kind).await };
    message.context.client().request(reply, kind.into()).await?;
    Ok(())
}

/// So that `?` makes the one of the other, where a consumer loop ends.
impl From<StreamError<Self>> for MessagesError {
    fn from(ended: StreamError<Self>) -> Self {
        ended.error
    }
}
