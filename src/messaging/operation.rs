use std::{
    borrow::Cow,
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Context, Key, KeyValue, StringValue, Value,
    trace::{SpanContext, SpanKind, SpanRef, Status, TraceContextExt},
};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, MESSAGING_BATCH_MESSAGE_COUNT, MESSAGING_DESTINATION_PARTITION_ID,
    MESSAGING_GCP_PUBSUB_MESSAGE_DELIVERY_ATTEMPT, MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_CONVERSATION_ID,
    MESSAGING_MESSAGE_ENVELOPE_SIZE, MESSAGING_MESSAGE_ID,
};
use pin_project_lite::pin_project;

use super::{
    Destination, Failure,
    destination::IN_MEMORY,
    outcome::{ByError, ByType, Classify},
    relation::valid,
};
use crate::{
    Propagate, Snapshot, WithContext,
    carrier::{Carrier, Rejected},
};

/// One send, receive, process or settle, under way: its span has started. Made by [`Destination`].
///
/// Say what is known about the message, and [`run`](Self::run) or [`run_async`](Self::run_async) the work.
///
/// # Guarantees
///
/// - In the work, the operation's context is current, and after it what was current before, as for any
///   [`WithContext`].
/// - The span ends exactly once, and the metrics are recorded with it:
///
/// | the work | status | `error.type` |
/// |---|---|---|
/// | returns | unset | |
/// | returns an error | the error, as it displays | the name of its type, or by [`error_type`](Self::error_type) |
/// | panics | `panicked` | `panic` |
/// | is dropped before it is done | `cancelled` | `cancelled` |
///
/// - Dropped without being run, the operation is cancelled too; but nothing was attempted, and nothing is counted.
/// - The work is dropped before its span ends. What is cancelled runs its destructors within.
/// - While telemetry is suppressed nothing is recorded, neither spans nor metrics, and the context still flows.
#[must_use = "the work is to be run by `run` or `run_async`; dropped, the operation counts as cancelled"]
pub struct Operation<C = ByType> {
    open: Open,
    classify: C,
}

impl Operation {
    pub(super) const fn new(open: Open) -> Self {
        Self { open, classify: ByType }
    }

    /// Sets the `error.type` by what went wrong, rather than by the error's type.
    ///
    /// Use it for errors that are one type for everything. Keep to few values in all: it is an attribute of metrics.
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
    /// The context of the work: that of the span, or the outer one if there is no span.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.open.context
    }

    /// The broker's id for the message.
    pub fn message_id(self, id: impl Into<Arc<str>>) -> Self {
        self.attribute(MESSAGING_MESSAGE_ID, text(id))
    }

    /// The conversation that the message belongs to; often called its correlation id.
    pub fn conversation_id(self, id: impl Into<Arc<str>>) -> Self {
        self.attribute(MESSAGING_MESSAGE_CONVERSATION_ID, text(id))
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
    /// `messaging.servicebus.message.delivery_count`. For other systems it is named like the latter.
    pub fn delivery_count(self, count: u64) -> Self {
        let attribute = self.delivery_count_attribute(count);
        self.attributes([attribute])
    }

    pub(crate) fn delivery_count_attribute(&self, count: u64) -> KeyValue {
        let key = match self.open.destination.system() {
            "gcp_pubsub" => Key::from_static_str(MESSAGING_GCP_PUBSUB_MESSAGE_DELIVERY_ATTEMPT),
            IN_MEMORY => Key::from_static_str("messaging.in_memory.message.delivery_count"),
            system => Key::from(format!("messaging.{system}.message.delivery_count")),
        };
        KeyValue::new(key, integer(count))
    }

    /// The partition that the message is sent to or was received from; also on the metrics. The destination's own
    /// partition, if it has one, stays.
    pub fn partition(mut self, id: impl Into<Arc<str>>) -> Self {
        if self.open.destination.has_partition() {
            return self;
        }
        let id = StringValue::from(id.into());
        self.open.partition = Some(id.clone());
        self.attribute(MESSAGING_DESTINATION_PARTITION_ID, id)
    }

    /// How many messages this operation is on, if it is a batch that the carrier stands for as a whole. Those of
    /// [`Destination::send_batch`], [`Destination::receive`] and [`Destination::process_batch`] are counted already.
    pub fn batch(mut self, messages: u64) -> Self {
        self.open.messages = messages;
        self.attribute(MESSAGING_BATCH_MESSAGE_COUNT, integer(messages))
    }

    /// Any other attribute, of the system's own namespace for instance.
    pub fn attribute(self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.attributes([KeyValue::new(key, value)])
    }

    /// Several at once, which locks the span once.
    pub(crate) fn attributes(self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        if let Some(span) = self.open.span() {
            span.set_attributes(attributes);
        }
        self
    }

    /// Links to the creation context of a message, if it has one: the message that is settled, or that caused this one.
    pub fn link_to(self, message: &impl Carrier) -> Self {
        match valid(&self.open.destination.extract_trusted(message)) {
            Some(creation) => self.link(creation),
            None => self,
        }
    }

    /// Links to a span: the previous attempt at the message, for instance.
    pub fn link(self, span_context: SpanContext) -> Self {
        self.link_with(span_context, [])
    }

    /// As [`link`](Self::link), with what tells this link from others.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    /// use opentelemetry::{KeyValue, trace::TraceContextExt};
    ///
    /// # let (orders, message) = (Destination::new("rabbitmq", "orders"), Headers::new());
    /// let first = orders.process(&message);
    /// let attempt = first.context().span().span_context().clone();
    /// if first.run(|| Err::<(), _>("no apples")).is_err() {
    ///     let previous = [KeyValue::new("shop.link", "previous attempt")];
    ///     orders.process(&message).delivery_count(2).link_with(attempt, previous).run(|| ());
    /// }
    /// ```
    pub fn link_with(self, span_context: SpanContext, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        if let Some(span) = self.open.span() {
            span.add_link(span_context, attributes.into_iter().collect());
        }
        self
    }

    /// The message was counted by [`Destination::receive`], and processing it does not count it again.
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
        self.open.end(self.classify.classify(&outcome));
        outcome
    }

    /// Does the work in asynchronous code: polled first, calls `f`, and then polls its future, all with the operation's
    /// context attached; the operation ends when the future is ready or dropped.
    ///
    /// It takes a closure so that what captures the context at its call does so inside: `.instrument(info_span!(…))`, a
    /// spawn, a publish. A time limit goes around it, `timeout(limit, operation.run_async(…))`: then what is too late is
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
        let work = Work::Make { f: Some(f) }.with_context(self.open.context.clone());
        Running { work, open: self.open, classify: Some(self.classify) }
    }

    /// The operation's own span, if it has one.
    #[cfg(feature = "queue")]
    pub(crate) fn span_context(&self) -> Option<SpanContext> {
        self.open.span().map(|span| span.span_context().clone())
    }

    /// When it began; to ask the clock once more takes longer than to pass this on.
    #[cfg(feature = "queue")]
    pub(crate) const fn began(&self) -> Instant {
        self.open.started.clock
    }

    /// An event for each message whose headers are no use.
    pub(super) fn add_rejected(&self, rejected: impl IntoIterator<Item = Rejected>) {
        let Some(span) = self.open.span() else { return };
        for rejected in rejected {
            let reason = KeyValue::new("ctxhop.reason", rejected.to_string());
            span.add_event("ctxhop.context_rejected", vec![reason]);
        }
    }
}

impl<C> fmt::Debug for Operation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt("Operation", f)
    }
}

fn text(value: impl Into<Arc<str>>) -> StringValue {
    value.into().into()
}

/// The API's integers are signed; no message is that big.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pin_project! {
    /// The future of [`Operation::run_async`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<M, F, C = ByType> {
        // Dropped first, and so inside of the span.
        #[pin]
        work: WithContext<Work<M, F>>,
        open: Open,
        classify: Option<C>,
    }
}

pin_project! {
    /// A future, and before its first poll what makes it: so that both need the context attached only once.
    #[project = WorkProjection]
    enum Work<M, F> {
        Make { f: Option<M> },
        Poll { #[pin] future: F },
    }
}

impl<M, F> Future for Work<M, F>
where
    M: FnOnce() -> F,
    F: Future,
{
    type Output = F::Output;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        if let WorkProjection::Make { f } = self.as_mut().project() {
            let f = f.take().expect("an operation that has panicked was polled again");
            self.set(Self::Poll { future: f() });
        }
        match self.project() {
            WorkProjection::Poll { future } => future.poll(task),
            WorkProjection::Make { .. } => unreachable!("the future was made above"),
        }
    }
}

impl<M, F, C> Future for Running<M, F, C>
where
    M: FnOnce() -> F,
    F: Future,
    C: Classify<F::Output>,
{
    type Output = F::Output;

    /// # Panics
    ///
    /// With the future's own panic, after the span has ended; and when polled again after it was ready.
    #[track_caller]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut polling = EndOnUnwind { open: this.open, returned: false };
        let poll = this.work.poll(task);
        if let Poll::Ready(outcome) = &poll {
            let failure = this.classify.take().and_then(|classify| classify.classify(outcome));
            polling.open.end(failure);
        }
        polling.returned = true;
        poll
    }
}

impl<M, F, C> fmt::Debug for Running<M, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt("Running", f)
    }
}

/// A future that has panicked may stay around for long; its span does not.
struct EndOnUnwind<'a> {
    open: &'a mut Open,
    returned: bool,
}

impl Drop for EndOnUnwind<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.open.end(Some(panicked()));
        }
    }
}

/// What an operation does, and how the conventions call it.
pub(super) enum Action {
    Create,
    Send,
    Receive,
    Process,
    Settle(Settlement),
}

impl Action {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Settle(settlement) => settlement.name(),
            _ => self.operation_type(),
        }
    }

    pub(super) const fn operation_type(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
            Self::Settle(_) => "settle",
        }
    }

    /// `creates`: the span's context is a creation context.
    pub(super) const fn kind(&self, creates: bool) -> SpanKind {
        match self {
            Self::Create | Self::Send if creates => SpanKind::Producer,
            Self::Process => SpanKind::Consumer,
            _ => SpanKind::Client,
        }
    }

    /// Whether it is done by consumers, who may be in groups.
    pub(super) const fn consumes(&self) -> bool {
        matches!(self, Self::Receive | Self::Process | Self::Settle(_))
    }
}

/// What becomes of a message. The span is named after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settlement {
    /// `ack`: it is done.
    Ack,
    /// `nack`: it is not, and may be delivered again.
    Nack,
    /// `reject`: it never will be.
    Reject,
    /// What the messaging system has a name of its own for: `complete`, `abandon`, `commit`.
    Other(&'static str),
}

impl Settlement {
    const fn name(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Nack => "nack",
            Self::Reject => "reject",
            Self::Other(name) => name,
        }
    }
}

/// What is to be ended: at once, or when it is dropped.
pub(super) struct Open {
    destination: Destination,
    action: Action,
    context: Context,
    /// There is something to end, still.
    live: bool,
    /// The context's span is the operation's, not an outer one.
    own_span: bool,
    measured: bool,
    /// It has been run, or is a future to be.
    attempted: bool,
    /// The messages are counted elsewhere.
    counted: bool,
    /// Inside of `run`, to tell a panic from being dropped.
    running: bool,
    messages: u64,
    partition: Option<StringValue>,
    started: Started,
}

/// When an operation began.
pub(super) struct Started {
    pub(super) time: SystemTime,
    /// From `time` to `clock`. The clock is for the rest, as the system's time may jump.
    before: Duration,
    clock: Instant,
}

impl Started {
    /// Now, if not at another time. It asks each clock once, as to ask is not free.
    pub(super) fn new(since: Option<SystemTime>) -> Self {
        let clock = Instant::now();
        match since {
            None => Self { time: SystemTime::now(), before: Duration::ZERO, clock },
            Some(time) => Self { time, before: time.elapsed().unwrap_or_default(), clock },
        }
    }

    fn elapsed(&self) -> Duration {
        self.before + self.clock.elapsed()
    }
}

impl Open {
    pub(super) fn new(
        destination: &Destination,
        action: Action,
        context: Context,
        own_span: bool,
        measured: bool,
        started: Started,
        messages: u64,
    ) -> Self {
        Self {
            destination: destination.clone(),
            action,
            context,
            live: true,
            own_span,
            measured,
            attempted: false,
            counted: false,
            running: false,
            messages,
            partition: None,
            started,
        }
    }

    /// An operation that leaves no trace, for its work to run in the outer context.
    pub(super) fn none(destination: &Destination, action: Action, context: Context) -> Self {
        let mut open = Self::new(destination, action, context, false, false, Started::new(None), 0);
        open.live = false;
        open
    }

    fn span(&self) -> Option<SpanRef<'_>> {
        self.own_span.then(|| self.context.span())
    }

    fn end(&mut self, failure: Option<Failure>) {
        let context = mem::take(&mut self.context);
        if !mem::replace(&mut self.live, false) {
            return;
        }
        let duration = self.started.elapsed();
        if self.own_span {
            let span = context.span();
            if let Some(failure) = &failure {
                span.set_attribute(KeyValue::new(ERROR_TYPE, failure.error_type.clone()));
                span.set_status(Status::error(failure.description.clone()));
            }
            span.end_with_timestamp(self.started.time.checked_add(duration).unwrap_or_else(SystemTime::now));
        }
        drop(context);
        if self.measured && self.attempted {
            self.measure(duration, failure);
        }
    }

    fn measure(&self, duration: Duration, failure: Option<Failure>) {
        let metrics = self.destination.metrics();
        let attributes = self.destination.metric_attributes(&self.action, self.partition.as_ref(), failure);
        let (_type, common) = attributes.split_last().expect("the operation's type is always there");
        match self.action {
            Action::Send => metrics.sent(self.messages, common),
            Action::Receive | Action::Process if !self.counted => metrics.consumed(self.messages, common),
            _ => {}
        }
        if let Action::Process = self.action {
            metrics.process(duration, common);
        } else {
            metrics.operation(duration, &attributes);
        }
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("operation", &self.destination.name_of(&self.action))
            .field("destination", &self.destination)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end(Some(if self.running { panicked() } else { Failure::new("cancelled", "cancelled") }));
    }
}

fn panicked() -> Failure {
    Failure::new("panic", "panicked")
}
