use std::fmt;

use opentelemetry::trace::SpanContext;

use super::Destination;
use crate::carrier::Carrier;

/// A message that a consumer has in hand, and that it can settle: [`ack`](Self::ack), [`retry`](Self::retry) or
/// [`reject`](Self::reject).
///
/// Implement it for what a client library delivers, and [`Destination::process_each`] is its consumer loop.
/// [`queue::Delivery`](crate::queue::Delivery) implements it (feature `queue`), and the deliveries of the clients do that
/// this crate has a feature for.
///
/// # Contract
///
/// - The loop takes the [`message`](Self::message) once, for each delivery, and then settles the delivery once, or drops
///   it. The headers and the [description](Carrier::describe) may be gone once the message is taken.
/// - Dropping a delivery that is not settled loses nothing: the broker delivers the message again, sooner or later.
/// - Where a settlement covers all messages before it, as an offset in a log does, it covers none that is still in hand or was
///   dropped unsettled. A log delivers a message that was dropped unsettled before it delivers any later one.
/// - A settlement that the broker refuses is an error, never an `Ok`.
/// - The futures are not polled again after they are dropped, and may be dropped before they are ready: when the
///   settlement takes too long.
pub trait Delivered: Carrier {
    /// What the handler takes. It takes it by value, so that its future can be spawned.
    type Message;

    /// Why a settlement failed.
    type Error: fmt::Display;

    /// Hands the message out. The delivery keeps what the settlement needs: a tag, a channel, for a queue in memory a clone.
    fn message(&mut self) -> Self::Message;

    /// How many times the message has been delivered, this time included, if the broker counts. It is on the message's span.
    fn delivery_count(&self) -> Option<u64> {
        None
    }

    /// How many times the message has been delivered at least, this time included. [`Policy::attempts`](super::Policy::attempts)
    /// goes by it. A broker that does not count may tell that this is not the first time: then it is two, at least.
    fn delivered_at_least(&self) -> u64 {
        self.delivery_count().unwrap_or(1)
    }

    /// The message's own destination, where it differs from the consumer's: see [`Destination::at`].
    fn destination(&self, consumer: &Destination) -> Destination {
        consumer.clone()
    }

    /// Remembers the span of this attempt at the message, and gives that of the previous one, if it is known.
    fn attempt(&mut self, span: SpanContext) -> Option<SpanContext> {
        let _ = span;
        None
    }

    /// The message is done.
    fn ack(self) -> impl Future<Output = Result<(), Self::Error>>;

    /// The message is not done: deliver it again.
    fn retry(self) -> impl Future<Output = Result<(), Self::Error>>;

    /// The message is not done and never will be. The broker drops it or puts it aside.
    fn reject(self) -> impl Future<Output = Result<(), Self::Error>>;
}
