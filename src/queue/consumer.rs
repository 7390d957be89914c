use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use futures_core::{FusedStream, Stream};

#[cfg(not(target_family = "wasm"))]
use super::blocking::block_on;
use super::{
    Delivery,
    shared::{Envelope, Shared},
};
use crate::messaging::Destination;

/// The end of a queue where messages come out, each as a [`Delivery`]. Clone it for each worker: the workers compete.
///
/// It is also a [`Stream`] of deliveries, which ends where [`recv`](Self::recv) returns `None`. A message wakes every
/// stream that waits, but only one of the tasks that wait in `recv`, so for many workers `recv` is lighter.
///
/// # Where workers may panic
///
/// When the last consumer is dropped, the queue is closed, and the messages that are still in it, or go back to it, are
/// dropped. The span `discard orders`, an error, counts them and links to the first 128 of them; their payloads are dropped
/// in its context. So if the only worker panics, it takes the queue with it. Whoever starts it again should keep a clone:
///
/// ```
/// use ctxhop::{messaging::Destination, queue::{self, Consumer}};
///
/// async fn work(consumer: Consumer<&str>) {
///     while let Some(mut delivery) = consumer.recv().await {
///         // Otherwise a message that makes its handler panic would go round forever.
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
    open: Arc<Open<T>>,
    /// Of the stream, among those that wait.
    place: Option<u64>,
    /// The stream has returned `None`. Until then it must be polled, even if the queue has ended.
    ended: bool,
}

/// Closes and clears the queue once the last consumer is dropped.
struct Open<T>(Arc<Shared<T>>);

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        let Self(shared) = self;
        // Publishers that wait are refused before anything is dropped, because a message's destructor may wait for them.
        let left = shared.store.abandon();
        shared.discard(left);
    }
}

impl<T> Consumer<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { open: Arc::new(Open(shared)), place: None, ended: false }
    }

    fn shared(&self) -> &Arc<Shared<T>> {
        &self.open.0
    }

    /// Waits for a message. `None` once the queue is closed and all of its messages are settled.
    ///
    /// While anybody has a [`Delivery`] in hand, you included, its message may go back. So this waits, also in a closed
    /// queue. Settle the deliveries that you have before you wait for the end: whoever collects deliveries until `None`, or
    /// in `chunks`, may wait forever.
    ///
    /// A message wakes the task that has waited longest. Poll the future again when it is woken, or drop it, so that the message
    /// wakes the next one. A future that is kept, woken and not polled leaves the message in the queue while other tasks wait:
    /// for instance one that is pinned outside of a `select!` whose other branch takes long.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it is ready, no message was taken.
    pub async fn recv(&self) -> Option<Delivery<T>> {
        self.shared().store.recv().await.map(|envelope| self.deliver(envelope))
    }

    /// Blocks for a message. Otherwise it does the same as [`recv`](Self::recv).
    ///
    /// Do not use it in asynchronous code, where it would hold up the thread.
    #[must_use]
    #[cfg(not(target_family = "wasm"))]
    pub fn recv_blocking(&self) -> Option<Delivery<T>> {
        let envelope = match self.shared().store.try_recv() {
            Poll::Ready(envelope) => envelope,
            Poll::Pending => block_on(self.shared().store.recv()),
        };
        envelope.map(|envelope| self.deliver(envelope))
    }

    /// Takes a message, if there is one.
    ///
    /// # Errors
    ///
    /// `Closed` if there will never be a message again, because the queue is closed and all of its messages are settled;
    /// otherwise `Empty`.
    pub fn try_recv(&self) -> Result<Delivery<T>, TryRecvError> {
        match self.shared().store.try_recv() {
            Poll::Ready(Some(envelope)) => Ok(self.deliver(envelope)),
            Poll::Ready(None) => Err(TryRecvError::Closed),
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    fn deliver(&self, envelope: Envelope<T>) -> Delivery<T> {
        Delivery::new(Arc::clone(self.shared()), envelope)
    }

    /// Closes the queue, for all publishers, as [`Publisher::close`](super::Publisher::close) does. Consumers still get the
    /// messages that are in it. Returns whether the queue was open.
    pub fn close(&self) -> bool {
        self.shared().store.close()
    }

    /// Whether nothing can be published any more. There may still be messages.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().store.is_closed()
    }

    /// How many messages are in the queue, those that went back included. Those that consumers have in hand do not count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared().store.len()
    }

    /// Whether no message is in the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages can wait for their first delivery; `None` if there is no limit.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.shared().store.capacity()
    }

    /// Describes the spans of this queue.
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
    /// consumer.destination().settle(Settlement::Ack, &delivery.headers).run(|| delivery.ack());
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
        let envelope = task::ready!(this.open.0.store.poll_next(&mut this.place, task));
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
        Self { open: Arc::clone(&self.open), place: None, ended: false }
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared().store.leave(place);
        }
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt("Consumer", f)
    }
}

/// There is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
