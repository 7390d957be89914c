//! Producer and consumer spans, links and metrics around the calls of any messaging client.
//!
//! A [`Destination`] describes the queue or topic, once; each [`Operation`] on it is a span that the work runs in.
//! Consumers rarely start theirs by hand: [`Destination::process_each`] processes and settles what any client delivers.
//!
//! ```
//! use ctxhop::{carrier::Headers, messaging::{Destination, Settlement}};
//! # use std::io::Error;
//! # struct Channel;
//! # impl Channel {
//! #     async fn publish(&self, _: Headers, _: &str) -> Result<(), Error> { Ok(()) }
//! #     async fn ack(&self) -> Result<(), Error> { Ok(()) }
//! # }
//! # async fn handle(_: &Headers) -> Result<(), Error> { Ok(()) }
//!
//! # async fn producer(channel: Channel) -> Result<(), Error> {
//! let orders = Destination::new("rabbitmq", "orders");
//!
//! // The producer: the span's context goes into the headers, and the work runs in the span.
//! let mut headers = Headers::new();
//! orders.send(&mut headers).run_async(|| channel.publish(headers, "two apples")).await?;
//! # Ok(()) }
//! # async fn consumer(orders: Destination, channel: Channel, headers: Headers) -> Result<(), Error> {
//!
//! // The consumer, by hand: the handler's span links to the producer's, and whatever the handler sends is in its trace.
//! orders.process(&headers).message_id("17").run_async(|| handle(&headers)).await?;
//! orders.settle(Settlement::Ack, &headers).run_async(|| channel.ack()).await?;
//! # Ok(()) }
//! ```
//!
//! | call | span | kind | context |
//! |---|---|---|---|
//! | [`send`](Destination::send) | `send orders` | `PRODUCER` | put into the message |
//! | [`create`](Destination::create) | `create orders` | `PRODUCER` | put into the message |
//! | [`send`](Destination::send), after `create` | `send orders` | `CLIENT` | links to the message's, which is kept |
//! | [`receive`](Destination::receive) | `receive orders` | `CLIENT` | links to each message's |
//! | [`process`](Destination::process) | `process orders` | `CONSUMER` | links to the message's, or is its child, too |
//! | [`process_batch`](Destination::process_batch) | `process orders` | `CONSUMER` | links to each message's |
//! | [`settle`](Destination::settle) | `ack orders` | `CLIENT` | links to the message's, or is its child, too |
//! | [`settle_batch`](Destination::settle_batch) | `commit orders` | `CLIENT` | links to each message's |
//!
//! Of many links the SDK keeps 128, unless its limits are raised.
//!
//! Names, kinds, attributes, links and metrics are those of OpenTelemetry's
//! [semantic conventions for messaging](https://opentelemetry.io/docs/specs/semconv/messaging/), version 1.42.0. They are in
//! development, and may change. The metrics are `messaging.client.operation.duration`,
//! `messaging.client.sent.messages`, `messaging.client.consumed.messages` and `messaging.process.duration`.
//!
//! # Where attributes come from
//!
//! - From the destination: its name, system, server, consumer group. [`Destination::at`] names that of one message.
//! - From the message, if it [describes](crate::carrier::Carrier::describe) itself. The carriers of clients do.
//! - From you, on the [`Operation`].
//! - From the result, by [`Operation::on_ok`]: an offset, or that an `Ok` is a failure.
//!
//! In a batch, what differs from message to message goes on the links, by the methods named `…_with`:
//! `orders.receive_with(asked, &batch, |message| message.describe())`.
//!
//! Where a span does not record, nobody is asked and nothing is kept.
//!
//! # Other people's messages
//!
//! By default a sender's trace goes on in its consumer, with its sampling and its baggage. Where you do not trust the
//! senders with that, say so: [`Trust`] for the trace, [`BaggagePolicy`] for the baggage.
//!
//! ```
//! use ctxhop::messaging::{BaggagePolicy, Destination, Trust};
//!
//! let webhooks = Destination::new("aws_sqs", "webhooks").trust(Trust::LinkOnly).baggage(BaggagePolicy::Strip);
//! ```

mod action;
mod classify;
mod delivered;
mod destination;
mod each;
mod lasting;
mod metrics;
mod operation;
mod outcome;
mod policy;
mod rabbitmq;
mod relation;
mod report;
mod running;
mod settlement;
mod span;
mod target;
mod telemetry;
mod wording;

pub use classify::{ByError, ByType, Classify, OnOk};
pub use delivered::Delivered;
pub use destination::Destination;
pub use each::{StreamError, Tally};
pub use operation::Operation;
pub use outcome::{Failure, Outcome};
pub use policy::{ByOutcome, ByResult, Decide, Policy, Verdict};
pub use rabbitmq::rabbitmq_name;
pub use relation::Relation;
pub use report::Report;
pub use running::Running;
pub use settlement::Settlement;

pub use crate::trust::{AllowedNames, BaggagePolicy, Trust};
