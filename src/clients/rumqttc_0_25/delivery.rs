//! What a consumer loop takes, of either version of MQTT.

use std::{
    borrow::Cow,
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    fmt,
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_channel::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    oneshot,
};
use futures_core::Stream;
use opentelemetry::{KeyValue, trace::SpanContext};

use crate::{
    carrier::{Carrier, by_field},
    messaging::{Delivered, Destination},
};

/// The stream of a client's messages, for a consumer loop, and the inbox that it gets them from.
///
/// rumqttc has no stream of messages: its event loop has to be polled all the time, by a task of its own, or the connection dies
/// while a handler is at work. So let the inbox poll it; see the [module](super) for an example.
///
/// The stream ends when the inbox is dropped and nothing is in hand. The inbox ends when the stream is dropped and nothing is in hand.
pub fn deliveries<C: Client>(client: &C, eventloop: &C::EventLoop) -> (Inbox<C>, Deliveries<C>) {
    let (queue, messages) = unbounded();
    let (wanted, unwanted) = oneshot::channel();
    let link = Arc::new(Link { lost: AtomicU64::new(0), _wanted: wanted });
    let by_hand = C::acknowledges_by_hand(eventloop);
    let inbox =
        Inbox { queue, client: client.clone(), by_hand, link: Arc::downgrade(&link), unwanted, is_connected: false };
    (inbox, Deliveries { messages, _link: link })
}

/// What the deliveries and all messages in hand keep.
struct Link {
    /// How many connections were lost.
    lost: AtomicU64,
    /// It tells the inbox when it is dropped.
    _wanted: oneshot::Sender<Infallible>,
}

/// Polls an event loop, takes the messages out of what it brings, and hands them to [`Deliveries`].
pub struct Inbox<C: Client> {
    queue: UnboundedSender<Delivery<C>>,
    client: C,
    by_hand: bool,
    link: Weak<Link>,
    unwanted: oneshot::Receiver<Infallible>,
    /// Whether something came since the last error.
    is_connected: bool,
}

impl<C: Client> Inbox<C> {
    /// Polls the event loop, and hands each message to the deliveries. It returns every other event.
    ///
    /// It returns `None` when the deliveries are dropped, no message is in hand and the last acknowledgements are sent. Drop the
    /// event loop then, or unsubscribe: it still gets messages, and nobody takes them. In between, while messages are in hand, it
    /// returns new ones as events.
    ///
    /// An error ends a connection. The next call connects again.
    ///
    /// Messages wait in memory until they are settled. Only the broker limits their number: with manual acknowledgements it sends
    /// only so many messages of the qualities of service 1 and 2 before they are settled (`set_receive_maximum` of version 5).
    /// For quality 0, or without manual acknowledgements, there is no limit.
    ///
    /// Let the inbox poll only the event loop that it was made with, and do not call `EventLoop::clean` yourself: the inbox would
    /// not see that connection end.
    ///
    /// # Errors
    ///
    /// The event loop's own.
    ///
    /// # Cancel safety
    ///
    /// It loses no message if it is dropped. A connection that is not made yet is given up.
    pub async fn poll(&mut self, eventloop: &mut C::EventLoop) -> Option<Result<C::Event, C::Error>> {
        loop {
            match self.poll_or_end(eventloop).await? {
                Ok(event) => {
                    self.is_connected = true;
                    if let Some(other) = self.take(event) {
                        return Some(Ok(other));
                    }
                }
                Err(error) => {
                    self.lose(eventloop);
                    return Some(Err(error));
                }
            }
        }
    }

    async fn poll_or_end(&mut self, eventloop: &mut C::EventLoop) -> Option<Result<C::Event, C::Error>> {
        let mut polled = pin!(C::poll(eventloop));
        poll_fn(|task| {
            // Asked before the event loop, which then has sent what was acknowledged before, once there is nothing left to do.
            let is_unwanted = Pin::new(&mut self.unwanted).poll(task).is_ready();
            match polled.as_mut().poll(task) {
                Poll::Ready(polled) => Poll::Ready(Some(polled)),
                Poll::Pending if is_unwanted => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Gives the event back if it is no message, or nobody takes deliveries.
    fn take(&self, event: C::Event) -> Option<C::Event> {
        let Some(link) = self.link.upgrade().filter(|_| !self.queue.is_closed()) else {
            return Some(event);
        };
        C::message(event).map_or_else(Some, |message| {
            let lost_before = link.lost.load(Ordering::Relaxed);
            let delivery = Delivery {
                message,
                client: self.client.clone(),
                by_hand: self.by_hand,
                link,
                lost_before,
                retries: 0,
                previous: None,
                queue: self.queue.clone(),
            };
            // If the deliveries are gone since then, the broker has the message still.
            self.queue.unbounded_send(delivery).ok();
            None
        })
    }

    /// A connection is lost, and with it every acknowledgement that it has not sent.
    fn lose(&mut self, eventloop: &mut C::EventLoop) {
        // rumqttc keeps what it has read before the error, and would return it as if it came by the next connection.
        for event in mem::take(C::events(eventloop)) {
            if let Some(other) = self.take(event) {
                C::events(eventloop).push_back(other);
            }
        }
        if let Some(link) = self.link.upgrade() {
            link.lost.fetch_add(1, Ordering::Relaxed);
        }
        // rumqttc has dropped those in the client's channel, but more may have come before they were counted out. Not if the
        // connection was not made: then it would take publishes for some of the last session.
        if mem::take(&mut self.is_connected) {
            C::drop_acknowledgements(eventloop);
        }
    }
}

impl<C: Client> fmt::Debug for Inbox<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

/// The messages that an [`Inbox`] has got, to be processed and settled. See [`deliveries`].
pub struct Deliveries<C: Client> {
    messages: UnboundedReceiver<Delivery<C>>,
    _link: Arc<Link>,
}

impl<C: Client> Stream for Deliveries<C> {
    type Item = Delivery<C>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Delivery<C>>> {
        Pin::new(&mut self.messages).poll_next(task)
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
/// It does so at once. A handler that needs a pause before the next attempt makes it itself, before it fails.
///
/// `reject` acknowledges the message, too, because MQTT has no dead letters. A rejected message is lost unless the
/// handler publish it to a topic of its own, and succeed.
///
/// The handler takes a copy, because `retry` needs the message again. The payload is not copied.
pub struct Delivery<C: Client> {
    message: C::Message,
    client: C,
    by_hand: bool,
    link: Arc<Link>,
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
    by_field! { message }

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
        if self.link.lost.load(Ordering::Relaxed) != self.lost_before {
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

    #[doc(hidden)]
    fn poll(eventloop: &mut Self::EventLoop) -> impl Future<Output = Result<Self::Event, Self::Error>> + Send;

    /// What the event loop has read and not returned yet.
    #[doc(hidden)]
    fn events(eventloop: &mut Self::EventLoop) -> &mut VecDeque<Self::Event>;

    /// Drops the acknowledgements that wait to be sent, when the connection is lost.
    #[doc(hidden)]
    fn drop_acknowledgements(eventloop: &mut Self::EventLoop);

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
