use std::{
    fmt, mem,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    Context, Key, KeyValue, StringValue,
    trace::{Link, SpanContext, SpanRef, Status, TraceContextExt},
};

use super::{
    Failure,
    action::Action,
    relation::valid,
    target::{Target, Worded},
    wording::Wording,
};
use crate::{
    carrier::{Carrier, Rejected},
    conventions::{
        CANCELLED, CONTEXT_REJECTED, ERROR_TYPE, MESSAGING_BATCH_MESSAGE_COUNT, MESSAGING_DESTINATION_NAME,
        MESSAGING_DESTINATION_PARTITION_ID, PANIC, REASON, TIME_IN_QUEUE,
    },
};

/// What an operation starts with.
pub(super) struct Start {
    pub(super) action: Action,
    /// The span's context becomes a creation context.
    pub(super) creates: bool,
    /// What the span is started in.
    pub(super) base: Context,
    pub(super) links: Vec<Link>,
    /// How many messages it is on, if it is a batch.
    pub(super) batch: Option<u64>,
    pub(super) delivery_count: Option<u64>,
    /// Since when the message has been in the queue, if it is one of ours.
    pub(super) queued: Option<Instant>,
    /// When it began, if not now.
    pub(super) since: Option<SystemTime>,
}

impl Start {
    pub(super) const fn new(action: Action, base: Context, links: Vec<Link>) -> Self {
        Self { action, creates: false, base, links, batch: None, delivery_count: None, queued: None, since: None }
    }
}

/// A measured operation with its span, until it ends: at once, or when it is dropped.
pub(super) struct Open {
    target: Target,
    action: Action,
    pub(super) context: Context,
    /// There is something to end, still.
    live: bool,
    /// The context's span is the operation's, not an outer one.
    own_span: bool,
    recording: bool,
    measured: bool,
    /// It has been run, or is a future to be.
    pub(super) attempted: bool,
    /// The messages are counted elsewhere.
    pub(super) counted: bool,
    /// Inside of `run`, to tell a panic from being dropped.
    pub(super) running: bool,
    pub(super) messages: u64,
    partition: Option<StringValue>,
    started: Started,
    /// Keys that the span has from its start, beside those of the wording.
    batch: bool,
    delivery_count: bool,
    queued: bool,
    /// What the span gets at its end: at once, and each key once. `None` as long as nothing is said.
    said: Option<Vec<KeyValue>>,
}

impl Open {
    /// Starts it, now.
    pub(super) fn start(target: &Target, start: Start) -> Self {
        let Start { action, creates, base, links, batch, delivery_count, queued, since } = start;
        let tracer = target.telemetry().tracer();
        let started = Started::new(since, tracer.records());
        let wording = target.wording(action);
        // Samplers see all that is there from the start.
        let attributes = || {
            // With room for the two, for the time in the queue, and for some that are said at the end.
            let mut attributes = target.span_attributes(&wording, 4);
            if let Some(count) = batch {
                attributes.push(KeyValue::new(MESSAGING_BATCH_MESSAGE_COUNT, integer(count)));
            }
            if let Some(count) = delivery_count {
                attributes.push(KeyValue::new(target.facts().delivery_count, integer(count)));
            }
            attributes
        };
        let measured = !base.is_telemetry_suppressed();
        let (name, kind) = (wording.span_name.clone(), action.kind(creates));
        let span = tracer.start(name, kind, started.time, &base, links, attributes);
        let (own_span, recording) = span.as_ref().map_or((false, false), |span| (true, span.recording));
        let context = span.map_or(base, |span| span.context);
        if let Some(since) = queued.filter(|_| recording) {
            // By the moment that is known already, because a look at the clock takes longer than all else here.
            let time = started.clock.saturating_duration_since(since);
            context.span().set_attribute(KeyValue::new(TIME_IN_QUEUE, time.as_secs_f64()));
        }
        Self {
            target: target.clone(),
            action,
            context,
            live: true,
            own_span,
            recording,
            measured,
            attempted: false,
            counted: false,
            running: false,
            messages: batch.unwrap_or(1),
            partition: None,
            started,
            batch: batch.is_some(),
            delivery_count: delivery_count.is_some(),
            queued: queued.is_some(),
            said: None,
        }
    }

    /// An operation that leaves no trace. Its work runs in the outer context.
    pub(super) fn none(target: &Target, action: Action, context: Context) -> Self {
        Self {
            target: target.clone(),
            action,
            context,
            live: false,
            own_span: false,
            recording: false,
            measured: false,
            attempted: false,
            counted: false,
            running: false,
            messages: 0,
            partition: None,
            started: Started::new(None, false),
            batch: false,
            delivery_count: false,
            queued: false,
            said: None,
        }
    }

    /// When it began.
    pub(super) const fn began(&self) -> Instant {
        self.started.clock
    }

    /// The identity of its own span, if it has one.
    pub(super) fn span_context(&self) -> Option<SpanContext> {
        self.own_span.then(|| self.context.span().span_context().clone())
    }

    /// Its own span, if that records.
    fn recording(&self) -> Option<SpanRef<'_>> {
        self.recording.then(|| self.context.span())
    }

    pub(super) const fn is_recording(&self) -> bool {
        self.recording
    }

    /// Has the span say this at its end, if it records. The last of several values of a key counts.
    pub(super) fn say(&mut self, attribute: impl FnOnce() -> KeyValue) {
        if self.recording {
            self.push(attribute());
        }
    }

    #[inline]
    fn push(&mut self, attribute: KeyValue) {
        // To grow from nothing takes longer.
        self.said.get_or_insert_with(|| Vec::with_capacity(4)).push(attribute);
    }

    pub(super) fn say_all(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        if !self.recording {
            return;
        }
        match &mut self.said {
            Some(said) => said.extend(attributes),
            // With as much room as there are, in one step.
            None => self.said = Some(attributes.into_iter().collect()).filter(|said: &Vec<_>| !said.is_empty()),
        }
    }

    pub(super) fn delivery_count(&mut self, count: u64) {
        if self.recording {
            self.push(KeyValue::new(self.target.facts().delivery_count, integer(count)));
        }
    }

    /// Also for the metrics. The destination's own partition, if it has one, stays.
    pub(super) fn partition(&mut self, id: StringValue) {
        if self.target.facts().partition.is_none() {
            self.say(|| KeyValue::new(MESSAGING_DESTINATION_PARTITION_ID, id.clone()));
            self.partition = Some(id);
        }
    }

    pub(super) fn link(&self, span_context: SpanContext, attributes: impl IntoIterator<Item = KeyValue>) {
        if let Some(span) = self.recording() {
            span.add_link(span_context, attributes.into_iter().collect());
        }
    }

    pub(super) fn link_to(&self, message: &impl Carrier) {
        if !self.recording {
            return;
        }
        if let Some(creation) = valid(&self.target.read(message).0) {
            self.link(creation, []);
        }
    }

    /// An event for each message whose headers cannot be read.
    pub(super) fn add_rejected(&self, rejected: impl IntoIterator<Item = Rejected>) {
        let Some(span) = self.recording() else { return };
        for rejected in rejected {
            span.add_event(CONTEXT_REJECTED, vec![KeyValue::new(REASON, rejected.to_string())]);
        }
    }

    pub(super) fn end(&mut self, failure: Option<Failure>) {
        let context = mem::take(&mut self.context);
        if !mem::replace(&mut self.live, false) {
            return;
        }
        let duration = self.started.clock.elapsed();
        let wording = self.target.wording(self.action);
        if self.recording {
            let span = context.span();
            if self.said.is_some() || failure.is_some() {
                let said = self.said.take().unwrap_or_default();
                self.tell(&span, said, &wording, failure.as_ref());
            }
            let end = self.started.time.and_then(|time| time.checked_add(duration));
            span.end_with_timestamp(end.unwrap_or_else(SystemTime::now));
        }
        drop(context);
        if self.measured && self.attempted {
            self.measure(duration, &wording, failure);
        }
    }

    fn tell(&self, span: &SpanRef<'_>, mut said: Vec<KeyValue>, wording: &Wording, failure: Option<&Failure>) {
        said.extend(failure.map(|failure| KeyValue::new(ERROR_TYPE, failure.error_type.clone())));
        for at in (0..said.len()).rev() {
            if self.is_said(wording, &said[at].key) || said[at + 1..].iter().any(|later| later.key == said[at].key) {
                said.remove(at);
            }
        }
        if !said.is_empty() {
            span.set_attributes(said);
        }
        if let Some(failure) = failure {
            span.set_status(Status::error(failure.description.clone()));
        }
    }

    /// Whether the span has the key since its start.
    fn is_said(&self, wording: &Wording, key: &Key) -> bool {
        self.batch && key.as_str() == MESSAGING_BATCH_MESSAGE_COUNT
            || self.delivery_count && key.as_str() == self.target.facts().delivery_count
            || self.queued && key.as_str() == TIME_IN_QUEUE
            || key.as_str() == MESSAGING_DESTINATION_NAME
            || wording.span.iter().any(|said| said.key() == key.as_str())
    }

    fn measure(&self, duration: Duration, wording: &Worded<'_>, failure: Option<Failure>) {
        let metrics = self.target.telemetry().metrics();
        let messages = if self.counted { 0 } else { self.messages };
        if self.partition.is_none() && failure.is_none() {
            return match wording {
                Worded::Kept(kept) => kept.series.record(metrics, self.action, duration, messages, &kept.metrics),
                Worded::Made(wording) => metrics.record(self.action, duration, messages, &wording.metrics),
            };
        }
        let (operation_type, common) = wording.metrics.split_last().expect("the operation's type is always there");
        let mut attributes = Vec::with_capacity(wording.metrics.len() + 2);
        attributes.extend_from_slice(common);
        let partition = self.partition.clone();
        attributes.extend(partition.map(|partition| KeyValue::new(MESSAGING_DESTINATION_PARTITION_ID, partition)));
        attributes.extend(failure.map(|failure| KeyValue::new(ERROR_TYPE, failure.error_type)));
        attributes.push(operation_type.clone());
        metrics.record(self.action, duration, messages, &attributes);
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("operation", &self.target.name_of(self.action))
            .field("destination", &self.target)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.live {
            self.end(Some(if self.running { panicked() } else { Failure::new(CANCELLED, "cancelled") }));
        }
    }
}

pub(super) fn panicked() -> Failure {
    Failure::new(PANIC, "panicked")
}

/// The API's integers are signed; no message is that big.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// When an operation began.
struct Started {
    /// `None` if nobody was expected to ask: the last span did not record.
    time: Option<SystemTime>,
    /// The same moment. It tells how long it is since then, because the system's time may jump.
    clock: Instant,
}

impl Started {
    /// Now, if not at another time. It asks each clock once at most, because asking is not free.
    fn new(since: Option<SystemTime>, is_told: bool) -> Self {
        let now = Instant::now();
        let Some(since) = since else { return Self { time: is_told.then(SystemTime::now), clock: now } };
        let clock = since.elapsed().ok().and_then(|before| now.checked_sub(before));
        Self { time: Some(since), clock: clock.unwrap_or(now) }
    }
}
