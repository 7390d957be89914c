//! An in-memory queue whose messages carry headers: what goes through it is traced as through a broker.
//!
//! ```
//! use ctxhop::{messaging::Destination, propagation::TraceContextPropagator, queue::{self, Delivery, Publisher}};
//! # use std::error::Error;
//!
//! # async fn ship(order: &str) -> Result<(), std::io::Error> { Ok(()) }
//! const ATTEMPTS: u64 = 3;
//!
//! /// Ships an order; sets it aside, if this was the last attempt. That is in its trace, as it is part of the processing.
//! async fn attempt(order: &Delivery<&'static str>, parking: &Publisher<&'static str>) -> Result<(), Box<dyn Error>> {
//!     let shipped = ship(order.payload).await;
//!     if shipped.is_err() && order.delivery_count() == ATTEMPTS {
//!         parking.publish(order.payload).await?;
//!     }
//!     Ok(shipped?)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new()); // once, at the start
//!
//! let (publisher, consumer) = queue::bounded(Destination::in_memory("orders"), 100);
//! let (parking, parked) = queue::unbounded(Destination::in_memory("orders.parked"));
//!
//! publisher.publish("two apples").await?;
//! drop(publisher);
//!
//! while let Some(mut order) = consumer.recv().await {
//!     match order.process().run_async(|| attempt(&order, &parking)).await {
//!         Err(_) if order.delivery_count() < ATTEMPTS => order.nack(true),
//!         Ok(()) | Err(_) => order.ack(),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Use it where work leaves a request for a worker in the same process and has to be done, retried or set aside: each
//! message has a producer and a consumer span, links, a delivery count and metrics, by way of the same
//! [`Destination`]'s [`send`](Destination::send) and [`process`](Destination::process) that a broker's client goes
//! through. Where a message is only to be handled in the sender's context, a channel of
//! [`WithContext`](crate::WithContext) does that for less, and takes values of the context along; here it is what the
//! propagator writes into the headers that goes along, and nothing without one.
//!
//! # Guarantees
//!
//! - **At least once.** A [`Delivery`] that is dropped without [`ack`](Delivery::ack) or [`nack`](Delivery::nack), by a
//!   panic or a cancelled task for instance, goes back to the end of the queue. That neither waits nor fails, also when
//!   the queue is full or closed.
//! - **To one at a time.** Consumers compete: each message is with one of them, or in the queue.
//! - **In order** of publishing, as far as nothing goes back.
//! - **Closing drains.** Once the queue is [closed](Publisher::close), or the last [`Publisher`] is gone, nothing can be
//!   published any more; and [`recv`](Consumer::recv) returns `None` as soon as all messages are settled, those in hand
//!   included.
//! - **Nothing is swallowed.** What cannot be published comes back in the error.
//! - The capacity of a bounded queue is for messages that wait for their first delivery. Those that go back come on top,
//!   at most one for each delivery that was in hand.
//!
//! It lives in memory, as long as it has a consumer: when the last [`Consumer`] is dropped, publishing fails, and what is
//! left is dropped, which a span says. [Keep a clone](Consumer#where-workers-may-panic) where workers may panic, and look at
//! the delivery count before the work: a message that makes its handler panic never comes to what is after it.

mod consumer;
mod delivery;
mod message;
mod publisher;
mod shared;

use std::sync::Arc;

pub use consumer::{Consumer, TryRecvError};
pub use delivery::Delivery;
pub use message::Message;
pub use publisher::{PublishError, Publisher, TryPublishError};

use crate::messaging::Destination;
use shared::Shared;

/// A queue for `capacity` messages: to publish to a full one waits.
///
/// Use it by default: producers that are faster than the consumers are held up. What is in hand is not limited: a consumer
/// that spawns a task for each delivery has to limit these, by a semaphore for instance. A handler that publishes to its
/// own queue may wait for room that only it could make; let it [`try_publish`](Publisher::try_publish).
///
/// # Panics
///
/// If `capacity` is 0, or too big to allocate: a slot takes a few bytes from the start.
#[must_use]
#[track_caller]
pub fn bounded<T>(destination: Destination, capacity: usize) -> (Publisher<T>, Consumer<T>) {
    assert!(capacity > 0, "the capacity of a queue cannot be 0");
    let (slots, taken) = async_channel::bounded(capacity);
    new(destination, Some(slots), Some(taken))
}

/// A queue without a limit: to publish never waits.
///
/// Use it where the producers are limited by something else: for messages that are set aside, for instance.
#[must_use]
pub fn unbounded<T>(destination: Destination) -> (Publisher<T>, Consumer<T>) {
    new(destination, None, None)
}

fn new<T>(
    destination: Destination,
    slots: Option<async_channel::Sender<()>>,
    taken: Option<async_channel::Receiver<()>>,
) -> (Publisher<T>, Consumer<T>) {
    let (messages, receiver) = async_channel::unbounded();
    let shared = Arc::new(Shared::new(destination.without_operation_name(), messages, slots));
    (Publisher::new(Arc::clone(&shared)), Consumer::new(shared, receiver, taken))
}
