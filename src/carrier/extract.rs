use std::{error::Error, fmt};

use opentelemetry::{Context, global, propagation::TextMapPropagator};

use super::{Carrier, bounded::Bounded};
use crate::trail;

/// Takes the context out of a message, by the global propagator.
///
/// Use it where a message arrives, and [`run`](crate::Snapshot::run) its handler in the context. The context is made of
/// the message alone: nothing of the current context is in it.
///
/// # Guarantees
///
/// - Broken, hostile or missing headers make no message fail: the context has what the other headers said.
///   [`try_extract`] tells what was wrong.
/// - Whatever the propagator, each look-up walks the message at most a few times, and a propagator that goes through the
///   keys gets none if there are more than 256. So the cost grows with the size of the message, and no faster.
/// - It attaches no context, so it also works inside [`Context::map_current`].
///
/// # Examples
///
/// ```
/// use ctxhop::{Snapshot, carrier};
/// use opentelemetry::{Context, trace::TraceContextExt};
/// use std::collections::HashMap;
///
/// # opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new());
/// let message = HashMap::from([(
///     "traceparent".to_owned(),
///     "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
/// )]);
///
/// carrier::extract(&message).run(|| {
///     assert!(Context::current().span().span_context().is_remote());
/// });
/// ```
#[track_caller]
pub fn extract(carrier: &impl Carrier) -> Context {
    trail::received("extract");
    read(carrier).unwrap_or_else(Rejected::into_context)
}

/// Takes the context out of a message, by this propagator. In all else it is [`extract`].
#[track_caller]
pub fn extract_with(propagator: &dyn TextMapPropagator, carrier: &impl Carrier) -> Context {
    trail::received("extract");
    read_with(propagator, carrier).unwrap_or_else(Rejected::into_context)
}

/// Takes the context out of a message, by the global propagator, and tells wrong headers from missing ones.
///
/// Use it where somebody should know: count wrong headers, or put an event on the span that handles the message.
///
/// # Errors
///
/// A header was there and unusable, see [`Reason`]. Handle the message all the same, with the context that the other
/// headers made: [`Rejected::into_context`].
///
/// # Examples
///
/// ```
/// use ctxhop::carrier::{self, Headers};
///
/// # opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new());
/// let message = Headers::from_iter([("traceparent", "00-0-0-01")]);
/// let rejected = carrier::try_extract(&message).unwrap_err();
/// assert_eq!(rejected.to_string(), "the traceparent of the message is malformed");
///
/// assert!(carrier::try_extract(&Headers::new()).is_ok());
/// ```
#[track_caller]
pub fn try_extract(carrier: &impl Carrier) -> Result<Context, Rejected> {
    trail::received("extract");
    read(carrier)
}

/// Takes the context out of a message, by this propagator. In all else it is [`try_extract`].
///
/// # Errors
///
/// As [`try_extract`].
#[track_caller]
pub fn try_extract_with(propagator: &dyn TextMapPropagator, carrier: &impl Carrier) -> Result<Context, Rejected> {
    trail::received("extract");
    read_with(propagator, carrier)
}

/// [`try_extract`] of a message that may be one's own: the sender looks at it too.
pub(crate) fn read(carrier: &impl Carrier) -> Result<Context, Rejected> {
    global::get_text_map_propagator(|propagator| read_with(propagator, carrier))
}

/// As [`read`], by this propagator.
pub(crate) fn read_with(propagator: &dyn TextMapPropagator, carrier: &impl Carrier) -> Result<Context, Rejected> {
    let bounded = Bounded::new(carrier);
    let mut context = propagator.extract_with_context(&Context::new(), &bounded);
    // OpenTelemetry's no-op propagator, which is the global one until another is set, returns the current context. It
    // names no fields and looks at nothing. Nothing of the message is lost with its answer.
    if !bounded.was_seen() && propagator.fields().next().is_none() {
        context = Context::new();
    }
    match bounded.verdict(&context) {
        None => Ok(context),
        Some((key, reason)) => Err(Rejected { context, key, reason }),
    }
}

/// A header of a message was there and unusable.
#[derive(Clone, Debug)]
pub struct Rejected {
    context: Context,
    key: Box<str>,
    reason: Reason,
}

impl Rejected {
    /// The key of the header, or of the first of several.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with the header.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The context that the other headers made, which may be empty. [`extract`] returns the same.
    #[must_use]
    pub fn into_context(self) -> Context {
        self.context
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            Reason::Malformed => "malformed",
            Reason::TooLong => "too long",
        };
        write!(f, "the {} of the message is {what}", self.key)
    }
}

impl Error for Rejected {}

/// Why a header was [`Rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There was a `traceparent` or a `baggage`, the propagator asked for it, and no trace or baggage came of it.
    ///
    /// Only these two are judged, because nobody knows what should come of other keys. A `baggage` that is not text
    /// counts as none. A malformed `tracestate` is not rejected, because the recommendation only asks to drop it.
    Malformed,
    /// The value is longer than 8,192 bytes (a `tracestate`: 16,447), or the key has more than 64 values. Or the message
    /// has more than 256 keys, and the propagator asked for all of them; then [`Rejected::key`] is `keys`. Of a
    /// baggage, the leading members were kept.
    TooLong,
}
