use std::{
    error::Error,
    fmt,
    future::{self, Future},
    pin::Pin,
    sync::Arc,
};

#[cfg(not(target_family = "wasm"))]
use super::blocking::block_on;
use super::{
    Message,
    shared::{Letter, Shared},
    store::Refused,
};
use crate::messaging::{Destination, Operation};

/// The end of a queue where messages go in. Clone it for each producer.
///
/// When the last one is dropped, the queue is [closed](Self::close).
///
/// # Tracing
///
/// Each call is a [`send`](Destination::send): a `PRODUCER` span whose context goes into the message's headers at the
/// call. It ends when the message is in the queue, so its duration is the time that the publisher waits for room. If the
/// message is refused, or the future is dropped, the span's `error.type` is `closed`, `full` or `cancelled`.
pub struct Publisher<T> {
    open: Arc<Open<T>>,
}

/// Closes the queue once the last publisher is dropped.
struct Open<T>(Arc<Shared<T>>);

impl<T> Drop for Open<T> {
    fn drop(&mut self) {
        self.0.store.close();
    }
}

impl<T> Publisher<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { open: Arc::new(Open(shared)) }
    }

    fn shared(&self) -> &Shared<T> {
        &self.open.0
    }

    /// Publishes a payload, in a message without headers of your own; waits while the queue is full.
    ///
    /// Room goes to the publisher that has waited longest. Nobody overtakes, whichever of the methods they use. The wait
    /// begins at the first poll, not at the call.
    ///
    /// # Errors
    ///
    /// If the queue is closed; the message comes back.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the message is not published but dropped, inside its span, which ends
    /// as cancelled. Where it must not be lost, use [`try_publish`](Self::try_publish).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{messaging::Destination, queue};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (publisher, consumer) = queue::bounded(Destination::in_memory("orders"), 100);
    ///
    /// publisher.publish("two apples").await.unwrap();
    ///
    /// drop(consumer);
    /// let error = publisher.publish("a pear").await.unwrap_err();
    /// assert_eq!(error.into_message().payload, "a pear");
    /// # }
    /// ```
    pub fn publish(&self, payload: T) -> impl Future<Output = Result<(), PublishError<T>>> {
        self.publish_message(Message::new(payload))
    }

    /// Publishes a message, with its headers; waits while the queue is full.
    ///
    /// A message that came from a queue, or back from a failed call, keeps the context that it was first sent with; the
    /// span links to that.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination, queue::{self, Message}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let (publisher, consumer) = queue::bounded(Destination::in_memory("orders"), 100);
    /// let headers = Headers::from_iter([("content-language", "en")]);
    /// publisher.publish_message(Message::new("two apples").with_headers(headers)).await.unwrap();
    /// # }
    /// ```
    pub fn publish_message(&self, message: Message<T>) -> impl Future<Output = Result<(), PublishError<T>>> {
        let (operation, letter) = self.send(message);
        let mut publishing = self.shared().store.publish(letter);
        // Not an `async` block: that would have room for the message twice.
        let publish =
            move || future::poll_fn(move |task| Pin::new(&mut publishing).poll(task).map_err(PublishError::from));
        operation.error_type(|_: &PublishError<T>| CLOSED).run_async(publish)
    }

    /// Publishes a payload; blocks while the queue is full.
    ///
    /// Do not use it in asynchronous code, where it would hold up the thread.
    ///
    /// # Errors
    ///
    /// If the queue is closed; the message comes back.
    #[cfg(not(target_family = "wasm"))]
    pub fn publish_blocking(&self, payload: T) -> Result<(), PublishError<T>> {
        self.publish_message_blocking(Message::new(payload))
    }

    /// Publishes a message, with its headers; blocks while the queue is full.
    ///
    /// # Errors
    ///
    /// If the queue is closed; the message comes back.
    #[cfg(not(target_family = "wasm"))]
    pub fn publish_message_blocking(&self, message: Message<T>) -> Result<(), PublishError<T>> {
        let (operation, letter) = self.send(message);
        let now = operation.began();
        let store = &self.shared().store;
        operation.error_type(|_: &PublishError<T>| CLOSED).run(|| match store.try_publish(letter, now) {
            Ok(()) => Ok(()),
            Err(Refused::Closed(letter)) => Err(letter.into()),
            Err(Refused::Full(letter)) => block_on(store.publish(letter)).map_err(PublishError::from),
        })
    }

    /// Publishes a payload, if there is room.
    ///
    /// # Errors
    ///
    /// If the queue is full, or publishers wait for room, or it is closed; the message comes back. Like any failed send
    /// this is a span with an error. The message's headers carry the span's context, so whoever processes the message in the
    /// end is in its trace. So do not call this in a loop: wait with [`publish_message`](Self::publish_message).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{messaging::Destination, queue::{self, TryPublishError}};
    ///
    /// let (publisher, consumer) = queue::bounded(Destination::in_memory("orders"), 1);
    ///
    /// publisher.try_publish("two apples").unwrap();
    /// let Err(TryPublishError::Full(message)) = publisher.try_publish("a pear") else { panic!() };
    /// assert_eq!(message.payload, "a pear");
    /// ```
    pub fn try_publish(&self, payload: T) -> Result<(), TryPublishError<T>> {
        self.try_publish_message(Message::new(payload))
    }

    /// Publishes a message, with its headers, if there is room.
    ///
    /// # Errors
    ///
    /// As [`try_publish`](Self::try_publish).
    pub fn try_publish_message(&self, message: Message<T>) -> Result<(), TryPublishError<T>> {
        let (operation, letter) = self.send(message);
        let now = operation.began();
        operation.error_type(TryPublishError::kind).run(|| {
            self.shared().store.try_publish(letter, now).map_err(|refused| match refused {
                Refused::Full(letter) => TryPublishError::Full(letter.message),
                Refused::Closed(letter) => TryPublishError::Closed(letter.message),
            })
        })
    }

    fn send(&self, mut message: Message<T>) -> (Operation, Letter<T>) {
        (self.destination().send(&mut message), Letter::new(message))
    }

    /// Closes the queue for all publishers: nothing can be published any more, and publishers that wait are refused. The
    /// messages in the queue are still delivered. Returns whether the queue was open.
    pub fn close(&self) -> bool {
        self.shared().store.close()
    }

    /// Whether nothing can be published any more: the queue was closed, or has no consumer left.
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
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.shared().destination
    }
}

impl<T> Clone for Publisher<T> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open) }
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt("Publisher", f)
    }
}

const CLOSED: &str = "closed";

/// The queue is closed. The message comes back.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishError<T> {
    message: Message<T>,
}

impl<T> PublishError<T> {
    /// The message that was not published.
    #[must_use]
    pub fn into_message(self) -> Message<T> {
        self.message
    }
}

impl<T> From<Letter<T>> for PublishError<T> {
    fn from(letter: Letter<T>) -> Self {
        Self { message: letter.message }
    }
}

impl<T> fmt::Debug for PublishError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishError(..)")
    }
}

impl<T> fmt::Display for PublishError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("publishing to a closed queue")
    }
}

impl<T> Error for PublishError<T> {}

/// The queue is full or closed. The message comes back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryPublishError<T> {
    /// There is no room now.
    Full(Message<T>),
    /// Nothing can be published any more.
    Closed(Message<T>),
}

impl<T> TryPublishError<T> {
    /// The message that was not published.
    #[must_use]
    pub fn into_message(self) -> Message<T> {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Full(_) => "full",
            Self::Closed(_) => CLOSED,
        }
    }
}

impl<T> fmt::Debug for TryPublishError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TryPublishError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publishing to a {} queue", self.kind())
    }
}

impl<T> Error for TryPublishError<T> {}
