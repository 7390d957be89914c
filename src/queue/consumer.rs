use std::{
    error::Error,
    fmt, iter,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use async_channel::Receiver;
use futures_core::{FusedStream, Stream};

use super::{
    Delivery,
    shared::{Envelope, Shared},
};
use crate::messaging::Destination;

/// The end of a queue where messages come out, as a [`Delivery`] each. Clone it for each worker: they compete.
///
/// It is also a [`Stream`] of deliveries, which ends as [`recv`](Self::recv) does. A message wakes every stream that waits,
/// so for many workers `recv` is the lighter way.
///
/// # Where workers may panic
///
/// When the last consumer is dropped, the queue is closed, and what is still in it, or goes back to it, is dropped: the
/// span `discard orders`, an error, links to each of these messages. So a worker that is the only one and panics takes
/// the queue with it. Whoever starts it again had better keep a clone:
///
/// ```
/// use ctxhop::{messaging::Destination, queue::{self, Consumer}};
///
/// async fn work(consumer: Consumer<&str>) {
///     while let Some(mut delivery) = consumer.recv().await {
///         // Else a message that makes its handler panic would go round for ever.
///         if delivery.delivery_count() < 3 {
///             delivery.process().run(|| assert_ne!(delivery.payload, "a rotten apple"));
///         }
///         delivery.ack();
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (publisher, consumer) = queue::unbounded::<&str>(Destination::in_memory("orders"));
/// publisher.publish("a rotten apple").await.unwrap();
/// publisher.publish("a pear").await.unwrap();
/// drop(publisher);
///
/// let mut panics = 0;
/// while ctxhop::tokio::spawn(work(consumer.clone())).await.is_err() {
///     panics += 1;
/// }
/// assert_eq!(panics, 2);
/// # }
/// ```
pub struct Consumer<T> {
    /// A receiver for each consumer, as it knows who waits; pinned for good, as it is not `Unpin` and a consumer had better
    /// be.
    messages: Pin<Box<Receiver<Envelope<T>>>>,
    open: Arc<Open<T>>,
    /// The stream has said so. Before, it must be polled, even if the channel is closed by then.
    ended: bool,
}

/// Closes and clears the queue once the last consumer is dropped.
struct Open<T> {
    shared: Arc<Shared<T>>,
    messages: Receiver<Envelope<T>>,
    /// A token for each message that was not delivered yet. `None` if there is no limit.
    slots: Option<Receiver<()>>,
}

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        // First, so that nobody waits for room meanwhile, the messages' destructors included.
        self.shared.close();
        // Else the channel would keep them for as long as there are publishers.
        self.messages.close();
        self.shared.discard(iter::from_fn(|| self.messages.try_recv().ok()).collect());
    }
}

impl<T> Consumer<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, messages: Receiver<Envelope<T>>, slots: Option<Receiver<()>>) -> Self {
        let open = Arc::new(Open { shared, messages: messages.clone(), slots });
        Self { messages: Box::pin(messages), open, ended: false }
    }

    fn shared(&self) -> &Arc<Shared<T>> {
        &self.open.shared
    }

    /// Waits for a message. `None` once the queue is closed, and all of its messages are settled.
    ///
    /// While any [`Delivery`] is in hand, your own included, its message may yet go back, and this waits, also in a closed
    /// queue. So settle what you have before you wait for the end: to collect deliveries until `None`, or in `chunks`,
    /// may wait for ever.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is ready, no message was taken.
    pub async fn recv(&self) -> Option<Delivery<T>> {
        self.messages.recv().await.ok().map(|envelope| self.deliver(envelope))
    }

    /// Blocks for a message, and else does as [`recv`](Self::recv) does.
    ///
    /// Not for asynchronous code, where it would hold up the thread.
    #[must_use]
    #[cfg(not(target_family = "wasm"))]
    pub fn recv_blocking(&self) -> Option<Delivery<T>> {
        self.messages.recv_blocking().ok().map(|envelope| self.deliver(envelope))
    }

    /// Takes a message, if there is one.
    ///
    /// # Errors
    ///
    /// If the queue is empty; as `Closed` once it will remain so, which it will not while a delivery is in hand.
    pub fn try_recv(&self) -> Result<Delivery<T>, TryRecvError> {
        match self.messages.try_recv() {
            Ok(envelope) => Ok(self.deliver(envelope)),
            Err(async_channel::TryRecvError::Empty) => Err(TryRecvError::Empty),
            Err(async_channel::TryRecvError::Closed) => Err(TryRecvError::Closed),
        }
    }

    fn deliver(&self, envelope: Envelope<T>) -> Delivery<T> {
        if let (0, Some(slots)) = (envelope.deliveries, &self.open.slots) {
            let freed = slots.try_recv();
            debug_assert!(freed.is_ok(), "a message was in the queue without a slot");
        }
        Delivery::new(Arc::clone(self.shared()), envelope)
    }

    /// Closes the queue, for all publishers, as [`Publisher::close`](super::Publisher::close) does. Consumers still get
    /// what is in it. Returns whether the queue was open.
    pub fn close(&self) -> bool {
        self.shared().close()
    }

    /// Whether nothing can be published any more. There may still be messages.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().is_closed()
    }

    /// How many messages are in the queue, those included that went back; those that consumers have in hand are not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared().len()
    }

    /// Whether no message is in the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages can wait for their first delivery; `None` if there is no limit.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.shared().capacity()
    }

    /// What the spans of this queue are described by.
    ///
    /// # Examples
    ///
    /// To acknowledge with a span of its own:
    ///
    /// ```
    /// use ctxhop::{messaging::{Destination, Settlement}, queue};
    ///
    /// let (publisher, consumer) = queue::unbounded(Destination::in_memory("orders"));
    /// publisher.try_publish("two apples").unwrap();
    ///
    /// let delivery = consumer.try_recv().unwrap();
    /// consumer.destination().settle(Settlement::Ack).link_to(&delivery.headers).run(|| delivery.ack());
    /// ```
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.shared().destination
    }
}

impl<T> Stream for Consumer<T> {
    type Item = Delivery<T>;

    fn poll_next(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Delivery<T>>> {
        let this = self.get_mut();
        let envelope = task::ready!(this.messages.as_mut().poll_next(task));
        this.ended = envelope.is_none();
        Poll::Ready(envelope.map(|envelope| this.deliver(envelope)))
    }
}

impl<T> FusedStream for Consumer<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> Clone for Consumer<T> {
    fn clone(&self) -> Self {
        Self { messages: Box::pin(Receiver::clone(&self.messages)), open: Arc::clone(&self.open), ended: false }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt("Consumer", f)
    }
}

/// There is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Not now.
    Empty,
    /// The queue is closed, and all of its messages are settled.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "receiving from an empty queue",
            Self::Closed => "receiving from an empty and closed queue",
        })
    }
}

impl Error for TryRecvError {}
