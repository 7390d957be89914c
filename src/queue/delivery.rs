use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use opentelemetry::trace::SpanContext;

use super::{
    Message,
    shared::{Envelope, Shared},
};
use crate::messaging::Operation;

/// A message that a consumer has in hand. [`ack`](Self::ack), [`retry`](Self::retry), [`reject`](Self::reject) or
/// [`into_message`](Self::into_message) settles it.
///
/// Dropped without that, for instance by a panic or a cancelled task, the message goes back to the end of the queue, as by
/// `retry`.
///
/// It dereferences to the [`Message`]. Whatever a handler changes there is still changed at the next delivery. To spawn a
/// handler that borrows the payload across an `.await`, the payload has to be `Sync`, or the handler has to borrow it as
/// `&mut`.
#[must_use = "dropped without `ack` or `reject`, the message goes back to the queue"]
pub struct Delivery<T> {
    shared: Arc<Shared<T>>,
    /// `None` once it is settled, which consumes the delivery.
    envelope: Option<Envelope<T>>,
    /// The span of the latest attempt, if there was one since this delivery.
    attempt: Option<SpanContext>,
}

const SETTLED: &str = "a delivery has its message until it is settled";

impl<T> Delivery<T> {
    pub(super) const fn new(shared: Arc<Shared<T>>, envelope: Envelope<T>) -> Self {
        Self { shared, envelope: Some(envelope), attempt: None }
    }

    fn envelope(&self) -> &Envelope<T> {
        self.envelope.as_ref().expect(SETTLED)
    }

    /// Processes the message: a `CONSUMER` span to run the work in, as by
    /// [`Destination::process`](crate::messaging::Destination::process).
    ///
    /// The span has the delivery count (`ctxhop.delivery_count`), the time in the queue and in hand,
    /// in seconds (`ctxhop.time_in_queue`), and, if the message was processed before, a link to the span of that attempt
    /// (with `ctxhop.link`: `previous attempt`).
    ///
    /// The result of the work does not settle the message; that is up to you.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{messaging::Destination, queue};
    ///
    /// let (publisher, consumer) = queue::unbounded::<u32>(Destination::in_memory("numbers"));
    /// publisher.try_publish(7).unwrap();
    ///
    /// let mut delivery = consumer.recv_blocking().unwrap();
    /// let square = delivery.process().run(|| delivery.payload.checked_mul(delivery.payload));
    /// assert_eq!(square, Some(49));
    /// delivery.ack();
    /// ```
    pub fn process(&mut self) -> Operation {
        let Envelope { message, deliveries, since } = self.envelope();
        let operation = self.shared.destination.process_queued(&message.message, *deliveries, *since);
        operation.link_attempt(|attempt| self.remember(attempt));
        operation
    }

    /// Remembers the span of this attempt, and gives that of the previous one.
    pub(super) fn remember(&mut self, attempt: SpanContext) -> Option<SpanContext> {
        self.attempt.replace(attempt).or_else(|| self.envelope().message.attempt.as_deref().cloned())
    }

    /// How many times the message has been delivered, this time included.
    #[must_use]
    pub fn delivery_count(&self) -> u64 {
        self.envelope().deliveries
    }

    /// How long it is since the message was put into the queue, or back. The time that its publisher waited for room does
    /// not count.
    #[must_use]
    pub fn time_in_queue(&self) -> Duration {
        self.envelope().since.elapsed()
    }

    /// The message is done. It is dropped.
    pub fn ack(self) {
        drop(self.into_message());
    }

    /// The message is not done. It goes back to the end of the queue, at once, also if the queue is full or closed.
    ///
    /// A message that fails each time goes round forever: look at the [delivery count](Self::delivery_count).
    pub fn retry(self) {
        drop(self);
    }

    /// The message is not done and never will be. It is dropped.
    ///
    /// To keep it for later, publish it to another queue first, or use [`into_message`](Self::into_message).
    pub fn reject(self) {
        drop(self.into_message());
    }

    /// Takes the message out of the queue for good, to use it up or to set it aside. Its headers are the received ones.
    ///
    /// From here on the queue cannot lose it, but you can. To pass it on, publish it by
    /// [`try_publish_message`](super::Publisher::try_publish_message), which gives it back if there is no room. Or publish a
    /// clone and then [`ack`](Self::ack): so it is passed on at least once, also where the task may be cancelled.
    #[must_use = "the message is out of the queue; use `ack` or `reject` to drop it"]
    pub fn into_message(mut self) -> Message<T> {
        let envelope = self.envelope.take().expect(SETTLED);
        self.shared.store.settle();
        envelope.message.message
    }
}

/// The message.
impl<T> Deref for Delivery<T> {
    type Target = Message<T>;

    fn deref(&self) -> &Message<T> {
        &self.envelope().message.message
    }
}

impl<T> DerefMut for Delivery<T> {
    fn deref_mut(&mut self) -> &mut Message<T> {
        &mut self.envelope.as_mut().expect(SETTLED).message.message
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        let Some(mut envelope) = self.envelope.take() else { return };
        if let Some(attempt) = self.attempt.take() {
            envelope.message.attempt = Some(Box::new(attempt));
        }
        self.shared.put_back(envelope);
    }
}

impl<T: fmt::Debug> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("message", &**self)
            .field("delivery_count", &self.delivery_count())
            .finish_non_exhaustive()
    }
}
