use std::{borrow::Cow, fmt, sync::Arc, time::Instant};

use opentelemetry::{Context, Key, KeyValue, StringValue, Value, trace::SpanContext};

use super::{
    Report, Running,
    classify::{ByError, ByType, Classify, OnOk},
    span::{Open, integer},
};
use crate::{
    Snapshot,
    carrier::{Carrier, Rejected},
    conventions::{
        LINK, MESSAGING_BATCH_MESSAGE_COUNT, MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_CONVERSATION_ID,
        MESSAGING_MESSAGE_ENVELOPE_SIZE, MESSAGING_MESSAGE_ID, PREVIOUS_ATTEMPT,
    },
};

/// One send, receive, process or settle, under way: its span has started. Made by [`Destination`](super::Destination).
///
/// Say what you know about the message, and [`run`](Self::run) or [`run_async`](Self::run_async) the work.
///
/// # Guarantees
///
/// - In the work, the operation's context is current; after the work, whatever was current before, as for any
///   [`WithContext`](crate::WithContext).
/// - The span ends exactly once, and the metrics are recorded with it:
///
/// | the work | status | `error.type` |
/// |---|---|---|
/// | returns | unset | |
/// | returns an error | the error's `Display` | the name of its type, or by [`error_type`](Self::error_type) |
/// | returns what [`on_ok`](Self::on_ok) calls a failure | the failure's description | the failure's type |
/// | panics | `panicked` | `panic` |
/// | is dropped before it is done | `cancelled` | `cancelled` |
///
/// - Dropped without being run, the operation is cancelled too; but nothing was attempted, and nothing is counted.
/// - The work is dropped before its span ends. Cancelled work runs its destructors inside the span.
/// - While telemetry is suppressed nothing is recorded, neither spans nor metrics, and the context still flows.
/// - No attribute is on the span twice: of several values of a key the last one counts, and the destination's own
///   attributes stay.
/// - Where the span does not record, nothing that you say is kept.
#[must_use = "run the work by `run` or `run_async`; dropped, the operation counts as cancelled"]
pub struct Operation<C = ByType> {
    open: Open,
    classify: C,
}

impl Operation {
    pub(super) const fn new(open: Open) -> Self {
        Self { open, classify: ByType }
    }

    /// Chooses the `error.type` by the error, instead of by the error's type.
    ///
    /// Use it for errors that are one type for everything. Keep to few values in all, because the type is an attribute of
    /// metrics.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    /// use std::io::Error;
    ///
    /// # fn handle() -> Result<(), Error> { Ok(()) }
    /// # let orders = Destination::new("rabbitmq", "orders");
    /// # let message = Headers::new();
    /// orders.process(&message).error_type(|error: &Error| error.kind().to_string()).run(handle).unwrap();
    /// ```
    pub fn error_type<E, S, F>(self, error_type: F) -> Operation<ByError<F, E, S>>
    where
        E: fmt::Display,
        S: Into<Cow<'static, str>>,
        F: FnOnce(&E) -> S,
    {
        Operation { open: self.open, classify: ByError::new(error_type) }
    }
}

impl<C> Operation<C> {
    /// Calls `f` with the value of an `Ok`, to take from it what only the result tells.
    ///
    /// Use it where an `Ok` may be a failure (a publish that the broker did not confirm, an acknowledgement on a dead
    /// channel), and for attributes that are known when the send returns (offset, partition, sequence). `f` runs outside
    /// the operation's context, right before the span ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::{Destination, Failure, Report}};
    ///
    /// struct Receipt { partition: i32, offset: i64, stored: bool }
    ///
    /// # fn publish() -> Result<Receipt, std::io::Error> { Ok(Receipt { partition: 1, offset: 42, stored: true }) }
    /// # let orders = Destination::new("kafka", "orders");
    /// orders
    ///     .send(&mut Headers::new())
    ///     .on_ok(|receipt: &Receipt, report: &mut Report<'_>| {
    ///         report.partition(receipt.partition.to_string());
    ///         report.attribute("messaging.kafka.offset", receipt.offset);
    ///         if !receipt.stored {
    ///             report.fail(Failure::new("not_stored", "the broker did not store the message"));
    ///         }
    ///     })
    ///     .run(publish)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_ok<T, F>(self, f: F) -> Operation<OnOk<C, F, T>>
    where
        F: FnOnce(&T, &mut Report<'_>),
    {
        Operation { open: self.open, classify: OnOk::new(self.classify, f) }
    }

    /// The context of the work: that of the span, or the outer one if there is no span.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.open.context
    }

    /// The identity of the operation's own span, if it has one.
    #[must_use]
    pub fn span_context(&self) -> Option<SpanContext> {
        self.open.span_context()
    }

    /// When the operation began.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.open.began()
    }

    /// The broker's id for the message.
    pub fn message_id(self, id: impl Into<Arc<str>>) -> Self {
        self.text(MESSAGING_MESSAGE_ID, id)
    }

    /// The conversation that the message belongs to; often called its correlation id.
    pub fn conversation_id(self, id: impl Into<Arc<str>>) -> Self {
        self.text(MESSAGING_MESSAGE_CONVERSATION_ID, id)
    }

    /// The size of the message's body, uncompressed if that is known.
    pub fn body_size(self, bytes: usize) -> Self {
        self.attribute(MESSAGING_MESSAGE_BODY_SIZE, integer(bytes as u64))
    }

    /// The size of the message's body and headers, uncompressed if that is known.
    pub fn envelope_size(self, bytes: usize) -> Self {
        self.attribute(MESSAGING_MESSAGE_ENVELOPE_SIZE, integer(bytes as u64))
    }

    /// How many times the message has been delivered, this time included.
    ///
    /// The conventions have no common name for it, only `messaging.gcp_pubsub.message.delivery_attempt` and
    /// `messaging.servicebus.message.delivery_count`. For other systems it is `ctxhop.delivery_count`.
    pub fn delivery_count(mut self, count: u64) -> Self {
        self.open.delivery_count(count);
        self
    }

    /// The partition that the message is sent to or was received from; also on the metrics. The destination's own
    /// partition, if it has one, stays.
    pub fn partition(mut self, id: impl Into<Arc<str>>) -> Self {
        self.open.partition(id.into().into());
        self
    }

    /// How many messages this operation is on, if the carrier stands for a batch as a whole. Those of
    /// [`send_batch`](super::Destination::send_batch), [`receive`](super::Destination::receive) and
    /// [`process_batch`](super::Destination::process_batch) are counted already.
    pub fn batch(mut self, messages: u64) -> Self {
        self.open.messages = messages;
        self.attribute(MESSAGING_BATCH_MESSAGE_COUNT, integer(messages))
    }

    /// Any other attribute, for instance one of the system's own namespace.
    pub fn attribute(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.open.say(|| KeyValue::new(key, value));
        self
    }

    /// Several attributes at once.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.open.say_all(attributes);
        self
    }

    fn text(mut self, key: &'static str, value: impl Into<Arc<str>>) -> Self {
        self.open.say(|| KeyValue::new(key, StringValue::from(value.into())));
        self
    }

    /// Links to the creation context of a message, if it has one: for instance of the message that caused this one.
    pub fn link_to(self, message: &impl Carrier) -> Self {
        self.open.link_to(message);
        self
    }

    /// Links to a span, for instance to the previous attempt at the message.
    pub fn link(self, span_context: SpanContext) -> Self {
        self.link_with(span_context, [])
    }

    /// Like [`link`](Self::link), with attributes that tell this link from others.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    /// use opentelemetry::KeyValue;
    ///
    /// # let (orders, message) = (Destination::new("rabbitmq", "orders"), Headers::new());
    /// let first = orders.process(&message);
    /// let attempt = first.span_context();
    /// if first.run(|| Err::<(), _>("no apples")).is_err() {
    ///     let mut second = orders.process(&message).delivery_count(2);
    ///     if let Some(attempt) = attempt {
    ///         second = second.link_with(attempt, [KeyValue::new("shop.link", "previous attempt")]);
    ///     }
    ///     second.run(|| ());
    /// }
    /// ```
    pub fn link_with(self, span_context: SpanContext, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.open.link(span_context, attributes);
        self
    }

    /// [`receive`](super::Destination::receive) has counted the message, and processing it does not count it again.
    pub fn after_receive(mut self) -> Self {
        self.open.counted = true;
        self
    }

    /// Does the work, with the operation's context attached, and ends the operation.
    ///
    /// # Panics
    ///
    /// With `f`'s own panic, after the span has ended.
    #[track_caller]
    pub fn run<R>(mut self, f: impl FnOnce() -> R) -> R
    where
        C: Classify<R>,
    {
        self.open.attempted = true;
        self.open.running = true;
        let outcome = self.open.context.run(f);
        Report::conclude(&mut self.open, &outcome, self.classify);
        outcome
    }

    /// Does the work in asynchronous code: at the first poll it calls `f`, and then polls the future, all with the
    /// operation's context attached. The operation ends when the future is ready or dropped.
    ///
    /// It takes a closure, so that code which captures the context at its call does so inside: `.instrument(info_span!(…))`,
    /// a spawn, a publish. A time limit goes around it, `timeout(limit, operation.run_async(…))`: then late work is
    /// cancelled, and the span says so.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future. Dropped before it is ready, the operation is cancelled.
    pub fn run_async<M, F>(mut self, f: M) -> Running<M, F, C>
    where
        M: FnOnce() -> F,
        F: Future,
        C: Classify<F::Output>,
    {
        self.open.attempted = true;
        Running::new(self.open, f, self.classify)
    }

    /// Links to the previous attempt at the message. `remember` is told this one, and gives the previous one.
    pub(crate) fn link_attempt(&self, remember: impl FnOnce(SpanContext) -> Option<SpanContext>) {
        let attempt = if self.open.is_recording() { self.open.span_context() } else { None };
        if let Some(previous) = attempt.and_then(remember) {
            self.open.link(previous, [KeyValue::new(LINK, PREVIOUS_ATTEMPT)]);
        }
    }

    /// What the message tells of itself.
    pub(super) fn describe(&mut self, message: &impl Carrier) {
        if self.open.is_recording() {
            self.open.say_all(message.describe());
        }
    }

    pub(super) fn add_rejected(&self, rejected: impl IntoIterator<Item = Rejected>) {
        self.open.add_rejected(rejected);
    }
}

impl<C> fmt::Debug for Operation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt("Operation", f)
    }
}
