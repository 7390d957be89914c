use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use opentelemetry::KeyValue;

use super::{
    Message,
    shared::{Envelope, Shared},
};
use crate::messaging::Operation;

const TIME_IN_QUEUE: &str = "ctxhop.time_in_queue";

/// On a link, says what it is to.
const LINK: &str = "ctxhop.link";

/// A message that a consumer has in hand. It is settled by [`ack`](Self::ack), [`nack`](Self::nack) or
/// [`into_message`](Self::into_message).
///
/// Dropped without that, by a panic or a cancelled task for instance, it goes back to the end of the queue: as
/// `nack(true)`.
///
/// It dereferences to the [`Message`]. What a handler changes in that is there at the next delivery. To spawn a handler
/// that borrows the payload across an `.await`, the payload has to be `Sync`, or be borrowed as `&mut`.
#[must_use = "dropped without `ack` or `nack`, the message goes back in the queue"]
pub struct Delivery<T> {
    shared: Arc<Shared<T>>,
    /// `None` once it is settled, which consumes the delivery.
    envelope: Option<Envelope<T>>,
}

const SETTLED: &str = "a delivery has its message until it is settled";

impl<T> Delivery<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, mut envelope: Envelope<T>) -> Self {
        envelope.deliveries += 1;
        Self { shared, envelope: Some(envelope) }
    }

    fn envelope(&self) -> &Envelope<T> {
        self.envelope.as_ref().expect(SETTLED)
    }

    /// Processes the message: a `CONSUMER` span, to run the work in, as by
    /// [`Destination::process`](crate::messaging::Destination::process).
    ///
    /// On the span are the delivery count (`messaging.in_memory.message.delivery_count`), the time in the queue and in
    /// hand, in seconds (`ctxhop.time_in_queue`), and, if the message was processed before, a link to the span of that
    /// attempt (with `ctxhop.link`: `previous attempt`).
    ///
    /// Whatever becomes of the work, to settle the message is up to you.
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
        let envelope = self.envelope.as_mut().expect(SETTLED);
        let operation = self.shared.destination.process(&envelope.message);
        let count = operation.delivery_count_attribute(envelope.deliveries);
        let waited = operation.began().saturating_duration_since(envelope.since);
        let waited = KeyValue::new(TIME_IN_QUEUE, waited.as_secs_f64());
        let operation = operation.attributes([count, waited]);
        let Some(attempt) = operation.span_context() else { return operation };
        match envelope.attempt.replace(attempt) {
            Some(previous) => operation.link_with(previous, [KeyValue::new(LINK, "previous attempt")]),
            None => operation,
        }
    }

    /// How many times the message has been delivered, this time included.
    #[must_use]
    pub fn delivery_count(&self) -> u64 {
        self.envelope().deliveries
    }

    /// How long the message has waited since it was published, or since it went back, up to now.
    #[must_use]
    pub fn time_in_queue(&self) -> Duration {
        self.envelope().since.elapsed()
    }

    /// The message is done, and dropped.
    pub fn ack(self) {
        drop(self.into_message());
    }

    /// The message is not done. With `requeue` it goes back to the end of the queue, at once, also if that is full or
    /// closed; without, it is dropped.
    ///
    /// A message that fails each time goes round for ever: look at the [delivery count](Self::delivery_count).
    pub fn nack(self, requeue: bool) {
        if !requeue {
            drop(self.into_message());
        }
    }

    /// Takes the message out of the queue for good, to use it up or to set it aside. Its headers are as they were received.
    ///
    /// From here on it is yours to lose. To pass it on, publish it by
    /// [`try_publish_message`](super::Publisher::try_publish_message), which gives it back if there is no room; or publish a
    /// clone and then [`ack`](Self::ack), so that it is passed on at least once also where the task may be cancelled.
    #[must_use = "the message is out of the queue; use `ack` to drop it"]
    pub fn into_message(mut self) -> Message<T> {
        let envelope = self.envelope.take().expect(SETTLED);
        self.shared.settle();
        envelope.message
    }
}

/// The message.
impl<T> Deref for Delivery<T> {
    type Target = Message<T>;

    fn deref(&self) -> &Message<T> {
        &self.envelope().message
    }
}

impl<T> DerefMut for Delivery<T> {
    fn deref_mut(&mut self) -> &mut Message<T> {
        &mut self.envelope.as_mut().expect(SETTLED).message
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let Some(envelope) = self.envelope.take() {
            self.shared.put_back(envelope);
        }
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
