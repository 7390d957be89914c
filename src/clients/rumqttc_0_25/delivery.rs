//! What a consumer loop takes, of either version of MQTT.

use std::{
    borrow::Cow,
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_core::Stream;
use opentelemetry::{KeyValue, trace::SpanContext};

use crate::{
    carrier::Carrier,
    messaging::{Delivered, Destination},
};

/// The stream of a client's messages, for a consumer loop, and the inbox that it gets them from.
///
/// rumqttc has no stream of messages: its event loop has to be polled all the time, by a task of its own, or the connection dies
/// while a handler is at work. So poll it and put what comes into the inbox; see the [module](super) for an example.
///
/// The stream ends when the inbox is dropped and nothing is in hand.
pub fn deliveries<C: Client>(client: &C, eventloop: &C::EventLoop) -> (Inbox<C>, Deliveries<C>) {
    let (queue, messages) = unbounded();
    let by_hand = C::acknowledges_by_hand(eventloop);
    (Inbox { queue, by_hand, client: client.clone(), lost: Arc::default() }, Deliveries(messages))
}

/// Takes the messages out of what an event loop brings, and hands them to [`Deliveries`].
pub struct Inbox<C: Client> {
    queue: UnboundedSender<Delivery<C>>,
    client: C,
    by_hand: bool,
    /// How many connections were lost.
    lost: Arc<AtomicU64>,
}

impl<C: Client> Inbox<C> {
    /// Takes a message for the deliveries. Every other event comes back, and a message too if the deliveries are gone.
    ///
    /// It never waits: what is not settled yet is kept. A broker sends only so many messages of the qualities of service 1 and 2
    /// before they are settled (`set_receive_maximum` of version 5); for quality 0 MQTT knows no such limit.
    ///
    /// # Errors
    ///
    /// The event loop's own.
    pub fn put(&mut self, polled: Result<C::Event, C::Error>) -> Result<Option<C::Event>, C::Error> {
        let event = polled.inspect_err(|_| _ = self.lost.fetch_add(1, Ordering::Relaxed))?;
        if self.queue.is_closed() {
            return Ok(Some(event));
        }
        C::message(event).map_or_else(
            |other| Ok(Some(other)),
            |message| {
                let delivery = Delivery {
                    message,
                    client: self.client.clone(),
                    by_hand: self.by_hand,
                    lost: self.lost.clone(),
                    lost_before: self.lost.load(Ordering::Relaxed),
                    retries: 0,
                    previous: None,
                    queue: self.queue.clone(),
                };
                // If the deliveries are gone since then, the broker has the message still.
                self.queue.unbounded_send(delivery).ok();
                Ok(None)
            },
        )
    }
}

impl<C: Client> fmt::Debug for Inbox<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// The messages that an [`Inbox`] has got, to be processed and settled. See [`deliveries`].
pub struct Deliveries<C: Client>(UnboundedReceiver<Delivery<C>>);

impl<C: Client> Stream for Deliveries<C> {
    type Item = Delivery<C>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Delivery<C>>> {
        Pin::new(&mut self.0).poll_next(task)
    }
}

impl<C: Client> fmt::Debug for Deliveries<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

/// A message, and the client that it came to, which settles it. As a carrier it is the message.
///
/// `ack` acknowledges the message, if the client has `set_manual_acks(true)` and the broker waits for it: with quality of service 0
/// there is nothing to settle, and without manual acknowledgements rumqttc has settled before. MQTT confirms no
/// acknowledgement: one that is lost with its connection is no error, and the message comes again.
///
/// `retry` puts the message behind those that wait in [`Deliveries`], because MQTT has no negative acknowledgement: the broker
/// delivers what is not acknowledged only to the next connection of a session that it has kept.
///
/// `reject` acknowledges the message, too, because MQTT has no dead letters. A rejected message is lost unless the
/// handler publish it to a topic of its own, and succeed.
///
/// The handler takes a copy, because `retry` needs the message again. The payload is not copied.
pub struct Delivery<C: Client> {
    message: C::Message,
    client: C,
    by_hand: bool,
    lost: Arc<AtomicU64>,
    lost_before: u64,
    retries: u64,
    previous: Option<SpanContext>,
    queue: UnboundedSender<Self>,
}

impl<C: Client> Delivery<C> {
    /// The message.
    pub const fn message(&self) -> &C::Message {
        &self.message
    }
}

impl<C: Client> fmt::Debug for Delivery<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &C::facts(&self.message).topic)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl<C: Client> Carrier for Delivery<C> {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.message.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.message.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.message.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        self.message.remove(key);
    }

    fn room(&self, key: &str) -> usize {
        self.message.room(key)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.message.describe()
    }
}

impl<C: Client> Delivered for Delivery<C> {
    type Message = C::Message;
    type Error = SettleError;

    fn message(&mut self) -> C::Message {
        self.message.clone()
    }

    /// What is retried here is counted. There is no count of a message that the broker may have delivered before.
    fn delivery_count(&self) -> Option<u64> {
        (!C::facts(&self.message).duplicate).then_some(1 + self.retries)
    }

    /// One more than is counted, if the broker may have delivered the message before.
    fn delivered_at_least(&self) -> u64 {
        1 + u64::from(C::facts(&self.message).duplicate) + self.retries
    }

    /// By its topic, where the consumer's name is another: a filter with wildcards. A retained message may be old, so its span
    /// links to the message instead of being its child, unless the consumer says whose child it is.
    fn destination(&self, consumer: &Destination) -> Destination {
        let Facts { topic, retained, .. } = C::facts(&self.message);
        // A client that lets the broker use aliases gets messages without a topic.
        let destination =
            if topic.is_empty() || topic == consumer.name() { consumer.clone() } else { consumer.at(topic) };
        if retained { destination.linking_by_default() } else { destination }
    }

    fn attempt(&mut self, span: SpanContext) -> Option<SpanContext> {
        self.previous.replace(span)
    }

    async fn ack(self) -> Result<(), SettleError> {
        if !self.by_hand || !C::facts(&self.message).is_settled {
            return Ok(());
        }
        // Another connection may have given the packet's number to another message.
        if self.lost.load(Ordering::Relaxed) != self.lost_before {
            return Err(SettleError::ConnectionLost);
        }
        if self.client.acknowledge(&self.message).await { Ok(()) } else { Err(SettleError::EventLoopGone) }
    }

    async fn retry(mut self) -> Result<(), SettleError> {
        self.retries += 1;
        let queue = self.queue.clone();
        // If nobody takes deliveries any more, the message stays unsettled, and the broker has it still.
        queue.unbounded_send(self).ok();
        Ok(())
    }

    async fn reject(self) -> Result<(), SettleError> {
        self.ack().await
    }
}

/// A message could not be settled. The broker delivers it again, if it has kept the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettleError {
    /// The connection that the message came by was lost, and an acknowledgement by another could be taken for one of another
    /// message.
    ConnectionLost,
    /// Nobody polls the event loop any more: it was dropped.
    EventLoopGone,
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionLost => "the connection that the message came by was lost",
            Self::EventLoopGone => "the event loop was dropped",
        })
    }
}

impl Error for SettleError {}

/// What [`Delivery`] has to know of a message.
#[derive(Debug)]
#[expect(unnameable_types, reason = "it is for `Client`, which is sealed")]
pub struct Facts<'m> {
    pub(super) topic: Cow<'m, str>,
    pub(super) retained: bool,
    pub(super) duplicate: bool,
    /// The broker waits for an acknowledgement.
    pub(super) is_settled: bool,
}

/// One of rumqttc's asynchronous clients: that of MQTT 5, `rumqttc::v5::AsyncClient`, or that of MQTT 3.1.1,
/// `rumqttc::AsyncClient`. It is sealed.
pub trait Client: Clone + sealed::Sealed {
    /// The client's event loop.
    type EventLoop;
    /// What an event loop brings.
    type Event;
    /// Why polling an event loop fails.
    type Error;
    /// What the handler takes.
    type Message: Carrier + Clone;

    #[doc(hidden)]
    fn acknowledges_by_hand(eventloop: &Self::EventLoop) -> bool;

    /// The message of an event, or the event.
    #[doc(hidden)]
    fn message(event: Self::Event) -> Result<Self::Message, Self::Event>;

    #[doc(hidden)]
    fn facts(message: &Self::Message) -> Facts<'_>;

    /// Returns whether there is still an event loop.
    #[doc(hidden)]
    fn acknowledge(&self, message: &Self::Message) -> impl Future<Output = bool> + Send;
}

pub(super) mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements `Client`")]
    pub trait Sealed {}
}
