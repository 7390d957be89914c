//! [`TraceContextPropagator`] and [`BaggagePropagator`]: W3C Trace Context, level 2, and W3C Baggage, strict and fast.
//!
//! ```
//! use ctxhop::propagation::{BaggagePropagator, TraceContextPropagator};
//! use opentelemetry::propagation::TextMapCompositePropagator;
//!
//! opentelemetry::global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
//!     Box::new(TraceContextPropagator::new()),
//!     Box::new(BaggagePropagator::new()),
//! ]));
//! ```
//!
//! # Other formats
//!
//! Carriers, destinations and layers work with any propagator. Where peers write another format, compose it with these, and put
//! `TraceContextPropagator` last: of several formats in one message, the last one that is read wins. All of them are written.
//!
//! | header | propagator |
//! |---|---|
//! | `b3`, `x-b3-traceid` … | `opentelemetry_zipkin::Propagator`, of the version of your `opentelemetry`; it is deprecated together with Zipkin's exporter, and there is no other |
//! | `uber-trace-id` | none for this version of `opentelemetry`: `opentelemetry-jaeger-propagator` ended with 0.32, because Jaeger's clients are gone. [Implement](TextMapPropagator) one in 20 lines: split the value at its colons into trace id, span id, parent and flags |
//!
//! ## Sampling that is not said
//!
//! W3C's `traceparent` always says whether a trace is sampled. B3 does not always: `x-b3-sampled` may be missing, and then the
//! receiver
//! chooses. B3's propagator tells this by the flag 2, which is W3C's flag for random ids, and the SDK takes the trace for one that is
//! not sampled. It also takes B3's debug flag, which asks for sampling, for nothing. And without a trace it writes `b3: 0`, by which
//! all receivers are asked not to sample. So wrap the propagator, and choose:
//!
//! ```
//! use ctxhop::propagation::TraceContextPropagator;
//! use opentelemetry::{
//!     Context,
//!     propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter},
//!     trace::{SpanContext, TraceContextExt, TraceFlags, TraceId},
//! };
//!
//! /// B3, and which traces are sampled if their sender leaves it open.
//! #[derive(Debug)]
//! struct B3<P>(P, fn(TraceId) -> bool);
//!
//! impl<P: TextMapPropagator> TextMapPropagator for B3<P> {
//!     fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
//!         if cx.span().span_context().is_valid() {
//!             self.0.inject_context(cx, injector);
//!         }
//!     }
//!
//!     fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
//!         let received = self.0.extract_with_context(&Context::new(), extractor);
//!         let span = received.span().span_context().clone();
//!         if !span.is_valid() {
//!             return cx.clone();
//!         }
//!         let (flags, id) = (span.trace_flags().to_u8(), span.trace_id());
//!         let sampled = flags & 0b101 != 0 || flags == 0b10 && self.1(id);
//!         let flags = TraceFlags::default().with_sampled(sampled);
//!         cx.with_remote_span_context(SpanContext::new(id, span.span_id(), flags, true, span.trace_state().clone()))
//!     }
//!
//!     fn fields(&self) -> FieldIter<'_> {
//!         self.0.fields()
//!     }
//! }
//!
//! /// All of them. Or none: `|_| false`; or the same tenth everywhere: `|id| u128::from_be_bytes(id.to_bytes()) % 10 == 0`.
//! fn propagator(b3: impl TextMapPropagator + Send + Sync + 'static) -> TextMapCompositePropagator {
//!     TextMapCompositePropagator::new(vec![Box::new(B3(b3, |_| true)), Box::new(TraceContextPropagator::new())])
//! }
//! # propagator(TraceContextPropagator::new());
//! ```
//!
//! Whoever would rather have a trace of their own links to the peer's: [`Trust::LinkOnly`](crate::messaging::Trust::LinkOnly).

pub(crate) mod baggage;
mod percent;
mod traceparent;
pub(crate) mod tracestate;

use std::sync::LazyLock;

pub use baggage::{BaggagePropagator, properties};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceId},
};
use tracestate::Extended;

/// The header of the trace and the parent span.
pub const TRACEPARENT: &str = "traceparent";

/// The header of what tracing systems add to a `traceparent`.
pub const TRACESTATE: &str = "tracestate";

/// The header of the baggage.
pub const BAGGAGE: &str = "baggage";

/// One of W3C's headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Traceparent,
    Tracestate,
    Baggage,
}

impl Header {
    /// Which header a key is, in whatever case. A comparison with constants takes a fraction of the time of a comparison of texts.
    #[inline(always)]
    pub(crate) fn of(key: &str) -> Option<Self> {
        match key.len() {
            11 if key == TRACEPARENT || key.eq_ignore_ascii_case(TRACEPARENT) => Some(Self::Traceparent),
            10 if key == TRACESTATE || key.eq_ignore_ascii_case(TRACESTATE) => Some(Self::Tracestate),
            7 if key == BAGGAGE || key.eq_ignore_ascii_case(BAGGAGE) => Some(Self::Baggage),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Traceparent => TRACEPARENT,
            Self::Tracestate => TRACESTATE,
            Self::Baggage => BAGGAGE,
        }
    }
}

/// How many commas a list has. Counted in pieces whose count is a byte, which is several times as fast.
pub(crate) fn commas(list: &str) -> usize {
    let pieces = list.as_bytes().chunks(usize::from(u8::MAX));
    pieces.map(|piece| usize::from(piece.iter().fold(0_u8, |count, byte| count + u8::from(*byte == b',')))).sum()
}

/// The members at the start of a list that fit into so many bytes, and are so many. Empty members do not count as
/// members, because W3C's lists may have any number of them. No member is cut.
pub(crate) fn leading_members(list: &str, max_bytes: usize, max_members: usize) -> &str {
    if list.len() <= max_bytes && commas(list) < max_members {
        return list;
    }
    // One byte more than is allowed, so that a member which ends there is seen to go on.
    let seen = &list.as_bytes()[..list.len().min(max_bytes.saturating_add(1))];
    let (mut start, mut end, mut count) = (0, 0, 0);
    for member in seen.split(|byte| *byte == b',') {
        count += usize::from(!member.trim_ascii().is_empty());
        if start + member.len() > max_bytes || count > max_members {
            break;
        }
        end = start + member.len();
        start = end + 1;
    }
    &list[..end]
}

static FIELDS: LazyLock<[String; 2]> = LazyLock::new(|| [TRACEPARENT.to_owned(), TRACESTATE.to_owned()]);

/// The flags that level 2 of the recommendation defines. All others are sent as zero.
const KNOWN_FLAGS: u8 = SAMPLED | RANDOM_TRACE_ID;

const SAMPLED: u8 = 0b1;

/// The trace id's last seven bytes are random. Level 2 defines this flag, and the API's `TraceFlags` has no name for it.
const RANDOM_TRACE_ID: u8 = 0b10;

/// Writes and reads `traceparent` and `tracestate` by the rules of
/// [W3C Trace Context, level 2](https://www.w3.org/TR/trace-context-2/).
///
/// Use it in place of the SDK's propagator of the same name. It differs where that one departs from the recommendation:
///
/// - Short ids, signs, upper case, one-digit versions, anything after a version `00`, and a second `traceparent` make the
///   header invalid: the context stays as it is, and `tracestate` is not read.
/// - Several `tracestate` headers are joined. A list that breaks the grammar, or has more than 32 members, is dropped as a
///   whole, and the `traceparent` stays. Of two members with one key, the first stays, because it is the latest.
/// - The random-trace-id flag is kept as long as the trace id is, even if a sampler drops the span and clears its flags.
///   Flags that level 2 does not know are sent as zero.
/// - No empty `tracestate` is written, and no member that breaks the grammar.
///
/// # Members that the API cannot hold
///
/// [`TraceState`](opentelemetry::trace::TraceState) refuses keys that level 2 allows: `tenant@a-long-system-name`,
/// `a@b@c`. Such members are not in [`SpanContext::trace_state`]. They travel beside it in the [`Context`], together
/// with the flag above. A context that comes from the extracted one, and is still in its trace, writes them again in
/// their place. Changes of the span's own tracestate count: members that it sets go to the front, and clearing it
/// (`TraceState::NONE`) clears all members. Two changes cannot be seen: setting the first member to its old value, and
/// clearing a tracestate that has only such members. A context built anew around the span
/// (`Context::new().with_span(span)`) has lost them.
///
/// # Examples
///
/// ```
/// use ctxhop::propagation::TraceContextPropagator;
/// use opentelemetry::{Context, propagation::TextMapPropagator, trace::TraceContextExt};
/// use std::collections::HashMap;
///
/// let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
/// let received = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
///
/// let propagator = TraceContextPropagator::new();
/// let cx = propagator.extract_with_context(&Context::new(), &received);
/// assert!(cx.span().span_context().is_remote());
///
/// let mut sent = HashMap::new();
/// propagator.inject_context(&cx, &mut sent);
/// assert_eq!(sent, received);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TraceContextPropagator {
    _private: (),
}

impl TraceContextPropagator {
    /// The propagator. It has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl TextMapPropagator for TraceContextPropagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let span = cx.span();
        let span_context = span.span_context();
        if !span_context.is_valid() {
            return;
        }
        let received = cx.get::<Received>().filter(|received| received.trace_id == span_context.trace_id());
        let random = received.map_or(0, |received| received.random);
        let flags = (span_context.trace_flags().to_u8() & KNOWN_FLAGS) | random;
        injector.set(TRACEPARENT, traceparent::format(span_context.trace_id(), span_context.span_id(), flags));

        let extended = received.and_then(|received| received.tracestate.as_ref());
        if let Some(value) = tracestate::format(span_context.trace_state(), extended) {
            injector.set(TRACESTATE, value);
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let Some((trace_id, span_id, flags)) = extract_traceparent(extractor) else {
            return cx.clone();
        };
        let (tracestate, extended) = match extractor.get_all(TRACESTATE) {
            Some(values) => tracestate::parse(&values).unwrap_or_default(),
            None => Default::default(),
        };
        let flags = flags & KNOWN_FLAGS;
        let span_context = SpanContext::new(trace_id, span_id, TraceFlags::new(flags), true, tracestate);
        let received = Received { trace_id, random: flags & RANDOM_TRACE_ID, tracestate: extended };
        // A value in a context costs more than all the rest. It is only needed to remember something, or to forget what an
        // outer context remembers.
        if received.is_worth_keeping() || cx.get::<Received>().is_some() {
            cx.with_value(received).with_remote_span_context(span_context)
        } else {
            cx.with_remote_span_context(span_context)
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&*FIELDS)
    }
}

/// The parts of a received trace that a span in the extracted context would lose.
#[derive(Debug)]
struct Received {
    trace_id: TraceId,
    /// `RANDOM_TRACE_ID` or 0. The SDK clears the flags of a span that it drops.
    random: u8,
    tracestate: Option<Extended>,
}

impl Received {
    fn is_worth_keeping(&self) -> bool {
        self.random != 0 || self.tracestate.is_some()
    }
}

/// Two of them count as none, because nobody can tell which one is right.
fn extract_traceparent(extractor: &dyn Extractor) -> Option<traceparent::Fields> {
    match *extractor.get_all(TRACEPARENT)? {
        [value] => traceparent::parse(value),
        _ => None,
    }
}
