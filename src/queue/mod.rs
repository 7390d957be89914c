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
//! // Once, at the start of the program:
//! opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
//!
//! let (publisher, consumer) = queue::bounded(Destination::in_memory("orders"), 100);
//! let (parking, parked) = queue::unbounded(Destination::in_memory("orders.parked"));
//!
//! publisher.publish("two apples").await?;
//! drop(publisher);
//!
//! while let Some(mut order) = consumer.recv().await {
//!     match order.process().run_async(|| attempt(&order, &parking)).await {
//!         Err(_) if order.delivery_count() < ATTEMPTS => order.retry(),
//!         Ok(()) | Err(_) => order.ack(),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! Use it where a request leaves work for a worker in the same process, and the work has to be done, retried or set
//! aside: each message has a producer and a consumer span, links, a delivery count and metrics. They come from the same
//! [`Destination`]'s [`send`](Destination::send) and [`process`](Destination::process) that a broker's client uses. Where
//! the worker only has to run in the sender's context, a channel of [`WithContext`](crate::WithContext) does that for less
//! and takes the values of the context along. Through the queue travels only what the propagator writes into the headers,
//! and nothing without a propagator.
//!
//! # Guarantees
//!
//! - **At least once.** A [`Delivery`] that is dropped without [`ack`](Delivery::ack) or [`reject`](Delivery::reject), for
//!   instance by a panic or a cancelled task, goes back to the end of the queue. That neither waits nor fails, also when
//!   the queue is full or closed.
//! - **To one at a time.** Consumers compete: each message is with one of them, or in the queue.
//! - **In order.** Messages come out in the order in which they went in. A message that goes back goes to the end.
//! - **First come, first served.** While the queue is full, room goes to the publisher that has waited longest, and nobody
//!   overtakes. Two publishers that get room at the same time put their messages in as they are scheduled.
//! - **Closing drains.** Once the queue is [closed](Publisher::close), or the last [`Publisher`] is gone, nothing can be
//!   published any more; and [`recv`](Consumer::recv) returns `None` as soon as all messages are settled, those in hand
//!   included.
//! - **Nothing is swallowed.** A message that cannot be published comes back in the error.
//! - The capacity of a bounded queue is for messages that wait for their first delivery. Messages that go back need no
//!   room; there is at most one for each delivery that was in hand.
//!
//! The queue lives in memory, as long as it has a consumer. When the last [`Consumer`] is dropped, publishing fails, and
//! the messages that are left are dropped, which a span says. [Keep a clone](Consumer#where-workers-may-panic) where workers
//! may panic, and look at the delivery count before the work: if a message makes its handler panic, the code after the
//! handler never runs.

#[cfg(not(target_family = "wasm"))]
mod blocking;
mod consumer;
mod delivered;
mod delivery;
mod line;
mod message;
mod publisher;
mod shared;
mod store;

use std::sync::Arc;

pub use consumer::{Consumer, TryRecvError};
pub use delivery::Delivery;
pub use message::Message;
pub use publisher::{PublishError, Publisher, TryPublishError};

use crate::messaging::Destination;
use shared::Shared;
use store::Store;

/// `model/` compiles the store, its lines and `block_on` with shuttle's in their place.
mod sync {
    #[cfg(not(target_family = "wasm"))]
    pub(super) use std::sync::Condvar;
    pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
}

/// A queue for `capacity` messages: to publish to a full one waits.
///
/// Use it by default: it holds up producers that are faster than the consumers. Deliveries in hand are not limited: a
/// consumer that spawns a task for each has to limit them, by a semaphore for instance. A handler that publishes to its own
/// queue may wait for room that only it could make; let it [`try_publish`](Publisher::try_publish).
///
/// # Panics
///
/// If `capacity` is 0.
#[must_use]
#[track_caller]
pub fn bounded<T>(destination: Destination, capacity: usize) -> (Publisher<T>, Consumer<T>) {
    assert!(capacity > 0, "the capacity of a queue cannot be 0");
    new(destination, Some(capacity))
}

/// A queue without a limit: to publish never waits.
///
/// Use it where something else limits the producers: for messages that are set aside, for instance.
#[must_use]
pub fn unbounded<T>(destination: Destination) -> (Publisher<T>, Consumer<T>) {
    new(destination, None)
}

fn new<T>(destination: Destination, capacity: Option<usize>) -> (Publisher<T>, Consumer<T>) {
    let shared = Arc::new(Shared { destination: destination.operation_name(None), store: Store::new(capacity) });
    (Publisher::new(Arc::clone(&shared)), Consumer::new(shared))
}
