use std::{
    cell::{Cell, OnceCell},
    error::Error,
    fmt,
};

use opentelemetry::{
    Context,
    baggage::BaggageExt,
    global,
    propagation::{Extractor, TextMapPropagator},
    trace::TraceContextExt,
};

use super::{Carrier, NOT_TEXT, same_key};
use crate::{
    Snapshot,
    propagation::{
        BAGGAGE, TRACEPARENT, TRACESTATE,
        baggage::{MAX_BYTES, MAX_MEMBERS},
        leading_members, tracestate,
    },
};

/// The most values of any key: each of them could be a header with one member of a baggage.
const MAX_VALUES: usize = MAX_MEMBERS;

/// The most keys that a propagator gets to see, of those that ask for all.
const MAX_KEYS: usize = 256;

/// Takes the context out of a message, by the global propagator.
///
/// Use it where a message arrives, and [`run`](crate::Snapshot::run) its handler in the context. The context is made of
/// the message alone: what is current here is not in it.
///
/// # Guarantees
///
/// Headers that are broken, hostile or missing give a context without what they should have said, at a cost that
/// depends on the size of the message only. To know what was wrong with them, see [`try_extract`].
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
pub fn extract(carrier: &impl Carrier) -> Context {
    global::get_text_map_propagator(|propagator| extract_with(propagator, carrier))
}

/// Takes the context out of a message, by this propagator. Otherwise as [`extract`].
pub fn extract_with(propagator: &dyn TextMapPropagator, carrier: &impl Carrier) -> Context {
    try_extract_with(propagator, carrier).unwrap_or_else(Rejected::into_context)
}

/// Takes the context out of a message, by the global propagator, and tells headers that are missing from those that
/// are wrong.
///
/// Use it where somebody should know: count them, or put an event on the span that handles the message.
///
/// # Errors
///
/// A header was there and no use, see [`Reason`]. The message is to be handled all the same, with the context that the
/// other headers made: [`Rejected::into_context`].
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
pub fn try_extract(carrier: &impl Carrier) -> Result<Context, Rejected> {
    global::get_text_map_propagator(|propagator| try_extract_with(propagator, carrier))
}

/// Takes the context out of a message, by this propagator. Otherwise as [`try_extract`].
///
/// # Errors
///
/// As [`try_extract`].
pub fn try_extract_with(propagator: &dyn TextMapPropagator, carrier: &impl Carrier) -> Result<Context, Rejected> {
    let bounded = Bounded::new(carrier);
    let extract = || propagator.extract_with_context(&Context::new(), &bounded);
    // One that names no fields may be OpenTelemetry's no-op one, which is the global one until another is set. It gives
    // back what is current, whatever it is given.
    let names_none = propagator.fields().next().is_none();
    let context = if names_none { Context::new().run(extract) } else { extract() };
    match bounded.verdict(&context) {
        None => Ok(context),
        Some((key, reason)) => Err(Rejected { context, key, reason }),
    }
}

/// A header of a message was there and no use.
#[derive(Clone, Debug)]
pub struct Rejected {
    context: Context,
    key: Box<str>,
    reason: Reason,
}

impl Rejected {
    /// The key of the header, or of the first, if there are several.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The context that the other headers made, which may be empty. It is that of [`extract`].
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
    /// There was a `traceparent` or a `baggage`, which the propagator asked for, and no trace or baggage came of it.
    ///
    /// Of other keys it is not known what should come of them. A `baggage` that is not even text is none. A `tracestate` that is malformed is none of this: to
    /// drop it is all that the recommendation asks for.
    Malformed,
    /// It is longer than 8,192 bytes (a `tracestate`: 16,447), or has more than 64 values; or there are more than 256 keys, for a propagator that
    /// goes through them all. Of a baggage, the leading members have been kept.
    TooLong,
}

/// What a propagator gets to see of a message: values of bounded size, and lists joined.
struct Bounded<'a, C> {
    carrier: &'a C,
    /// Kept, as propagators get references: `None` if there is too much of it.
    tracestate: OnceCell<Option<String>>,
    baggage: OnceCell<String>,
    traceparent_seen: Cell<bool>,
    baggage_seen: Cell<bool>,
    /// The first key of which there was too much.
    too_long: OnceCell<Box<str>>,
}

impl<C: Carrier> Extractor for Bounded<'_, C> {
    fn get(&self, key: &str) -> Option<&str> {
        if same_key(key, BAGGAGE) {
            return self.baggage();
        }
        let mut values = self.carrier.get_all(key);
        let first = values.next()?;
        if same_key(key, TRACESTATE) && values.next().is_some() {
            return self.tracestate.get_or_init(|| Some(self.values(key)?.join(","))).as_deref();
        }
        if first == NOT_TEXT {
            return self.values(key)?.first().copied();
        }
        if same_key(key, TRACEPARENT) {
            self.traceparent_seen.set(true);
        }
        self.within(key, first.len() <= max_bytes(key)).then_some(first)
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        if same_key(key, BAGGAGE) {
            return self.baggage().map(|baggage| vec![baggage]);
        }
        self.values(key)
    }

    fn keys(&self) -> Vec<&str> {
        // A propagator that goes by a prefix looks each of them up, and each look-up walks the message.
        let keys: Vec<_> = self.carrier.keys().take(MAX_KEYS + 1).collect();
        if self.within("keys", keys.len() <= MAX_KEYS) { keys } else { keys[..MAX_KEYS].to_vec() }
    }
}

impl<'a, C: Carrier> Bounded<'a, C> {
    fn new(carrier: &'a C) -> Self {
        Self {
            carrier,
            tracestate: OnceCell::new(),
            baggage: OnceCell::new(),
            traceparent_seen: Cell::new(false),
            baggage_seen: Cell::new(false),
            too_long: OnceCell::new(),
        }
    }

    /// All values of a key, or none: part of a list may say something else than the whole, and the first of several
    /// ids is not the right one.
    fn values(&self, key: &str) -> Option<Vec<&'a str>> {
        let mut rest = self.carrier.get_all(key);
        let first = rest.next()?;
        let (is_parent, is_state) = (same_key(key, TRACEPARENT), same_key(key, TRACESTATE));
        if is_parent {
            self.traceparent_seen.set(true);
        }
        let max_bytes = if is_state { tracestate::MAX_BYTES } else { MAX_BYTES };
        // As joined by commas.
        let mut bytes = first.len();
        let mut values = vec![first];
        for value in rest {
            bytes += 1 + value.len();
            values.push(value);
            if bytes > max_bytes || values.len() > MAX_VALUES {
                break;
            }
        }
        let within = self.within(key, bytes <= max_bytes && values.len() <= MAX_VALUES);
        if !is_parent && !is_state {
            values.retain(|value| *value != NOT_TEXT);
        }
        (within && !values.is_empty()).then_some(values)
    }

    /// The leading members of all baggage, and no empty ones, which the SDK's propagator would count. They stand for
    /// themselves, so that some are better than none.
    fn baggage(&self) -> Option<&str> {
        let mut values = self.carrier.get_all(BAGGAGE);
        let first = values.next()?;
        let only = values.next().is_none().then(|| self.cut(text(first)));
        let leading = match only.filter(|list| !list.split(',').any(is_empty)) {
            Some(list) => list,
            None => self.baggage.get_or_init(|| self.join_baggage()),
        };
        self.baggage_seen.set(!leading.is_empty());
        Some(leading)
    }

    fn join_baggage(&self) -> String {
        let mut joined = String::new();
        for (count, value) in self.carrier.get_all(BAGGAGE).enumerate() {
            if !self.within(BAGGAGE, count < MAX_VALUES) {
                break;
            }
            let value = text(value);
            let leading = self.cut(value);
            for member in leading.split(',').filter(|member| !is_empty(member)) {
                if !joined.is_empty() {
                    joined.push(',');
                }
                joined.push_str(member);
            }
            if leading.len() < value.len() || joined.len() > MAX_BYTES {
                break;
            }
        }
        let end = self.cut(&joined).len();
        joined.truncate(end);
        joined
    }

    fn cut<'b>(&self, list: &'b str) -> &'b str {
        let leading = leading_members(list, MAX_BYTES, MAX_MEMBERS);
        self.within(BAGGAGE, leading.len() == list.len());
        leading
    }

    /// Takes note if there is more of a key than the limits allow.
    fn within(&self, key: &str, limits: bool) -> bool {
        if !limits {
            self.too_long.get_or_init(|| key.into());
        }
        limits
    }

    fn verdict(self, context: &Context) -> Option<(Box<str>, Reason)> {
        if let Some(key) = self.too_long.into_inner() {
            Some((key, Reason::TooLong))
        } else if self.traceparent_seen.get() && !context.span().span_context().is_valid() {
            Some((TRACEPARENT.into(), Reason::Malformed))
        } else if self.baggage_seen.get() && context.baggage().is_empty() {
            Some((BAGGAGE.into(), Reason::Malformed))
        } else {
            None
        }
    }
}

fn max_bytes(key: &str) -> usize {
    if same_key(key, TRACESTATE) { tracestate::MAX_BYTES } else { MAX_BYTES }
}

/// A value of a list whose members stand for themselves: what is not text is none of them.
fn text(value: &str) -> &str {
    if value == NOT_TEXT { "" } else { value }
}

fn is_empty(member: &str) -> bool {
    member.trim_ascii().is_empty()
}
