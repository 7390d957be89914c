//! The part of a message that a propagator gets to see.

use std::cell::{Cell, OnceCell};

use opentelemetry::{Context, baggage::BaggageExt, propagation::Extractor, trace::TraceContextExt};

use super::{Carrier, NOT_TEXT, Reason};
use crate::propagation::{
    BAGGAGE, Header, TRACEPARENT,
    baggage::{MAX_BYTES, MAX_MEMBERS},
    commas, tracestate,
};

/// The most values of any key: each of them could be a header with one member of a baggage.
pub(super) const MAX_VALUES: usize = MAX_MEMBERS;

/// The most keys of a message for a propagator that goes through all of them.
const MAX_KEYS: usize = 256;

/// Values of bounded size, and lists joined.
pub(super) struct Bounded<'a, C> {
    carrier: &'a C,
    /// Kept, because propagators get references. `None` if there is too much of it.
    tracestate: OnceCell<Option<String>>,
    baggage: OnceCell<String>,
    /// The propagator has looked at the message.
    seen: Cell<bool>,
    traceparent_seen: Cell<bool>,
    baggage_seen: Cell<bool>,
    /// The first key of which there was too much.
    too_long: OnceCell<Box<str>>,
}

impl<C: Carrier> Extractor for Bounded<'_, C> {
    fn get(&self, key: &str) -> Option<&str> {
        self.seen.set(true);
        let header = Header::of(key);
        if header == Some(Header::Baggage) {
            return self.baggage();
        }
        let mut values = self.carrier.get_all(key);
        let first = values.next()?;
        if header == Some(Header::Tracestate) && values.next().is_some() {
            return self.tracestate.get_or_init(|| Some(self.get_all(key)?.join(","))).as_deref();
        }
        if first == NOT_TEXT {
            return self.get_all(key)?.first().copied();
        }
        if header == Some(Header::Traceparent) {
            self.traceparent_seen.set(true);
        }
        self.within(key, first.len() <= max_bytes(header)).then_some(first)
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        self.seen.set(true);
        match Header::of(key) {
            Some(Header::Baggage) => self.baggage().map(|baggage| vec![baggage]),
            header => self.values(key, header),
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.seen.set(true);
        // The propagator will look each of them up, and each look-up walks the message: all or none, because a part of a
        // large message would take longer than the whole of any other.
        let keys: Vec<_> = self.carrier.keys().take(MAX_KEYS + 1).collect();
        if self.within("keys", keys.len() <= MAX_KEYS) { keys } else { Vec::new() }
    }
}

impl<'a, C: Carrier> Bounded<'a, C> {
    pub(super) fn new(carrier: &'a C) -> Self {
        Self {
            carrier,
            tracestate: OnceCell::new(),
            baggage: OnceCell::new(),
            seen: Cell::new(false),
            traceparent_seen: Cell::new(false),
            baggage_seen: Cell::new(false),
            too_long: OnceCell::new(),
        }
    }

    /// All values of a key, or none: part of a list may say something else than the whole, and the first of several
    /// ids is not the right one.
    #[inline(always)]
    fn values(&self, key: &str, header: Option<Header>) -> Option<Vec<&'a str>> {
        let mut rest = self.carrier.get_all(key);
        let first = rest.next()?;
        if header == Some(Header::Traceparent) {
            self.traceparent_seen.set(true);
        }
        let max_bytes = max_bytes(header);
        // As joined by commas.
        let mut bytes = first.len();
        let mut values = vec![first];
        for value in rest {
            bytes += 1 + value.len();
            values.push(value);
            if values.len() > MAX_VALUES {
                break;
            }
        }
        let within = self.within(key, bytes <= max_bytes && values.len() <= MAX_VALUES);
        if header.is_none() {
            values.retain(|value| *value != NOT_TEXT);
        }
        (within && !values.is_empty()).then_some(values)
    }

    /// The leading members of all baggage. They stand for themselves, so some are better than none.
    fn baggage(&self) -> Option<&str> {
        let mut values = self.carrier.get_all(BAGGAGE);
        let first = values.next()?;
        // The SDK's propagator counts empty members. If they are few enough, that does not matter.
        let only = Some(text(first)).filter(|list| values.next().is_none() && is_short(list));
        let leading = only.unwrap_or_else(|| self.baggage.get_or_init(|| self.join_baggage()));
        self.baggage_seen.set(!leading.split(',').all(is_empty));
        Some(leading)
    }

    fn join_baggage(&self) -> String {
        let mut joined = String::new();
        let (mut bytes, mut count) = (0, 0);
        for (headers, value) in self.carrier.get_all(BAGGAGE).enumerate() {
            if !self.within(BAGGAGE, headers < MAX_VALUES) {
                break;
            }
            for member in text(value).split(',') {
                let is_empty = is_empty(member);
                count += usize::from(!is_empty);
                if !self.within(BAGGAGE, bytes + member.len() <= MAX_BYTES && count <= MAX_MEMBERS) {
                    return joined;
                }
                // With the comma after it.
                bytes += member.len() + 1;
                if !is_empty {
                    if !joined.is_empty() {
                        joined.push(',');
                    }
                    joined.push_str(member);
                }
            }
        }
        joined
    }

    /// Takes note if there is more of a key than the limits allow.
    fn within(&self, key: &str, limits: bool) -> bool {
        if !limits {
            self.too_long.get_or_init(|| key.into());
        }
        limits
    }

    pub(super) fn was_seen(&self) -> bool {
        self.seen.get()
    }

    pub(super) fn verdict(&self, context: &Context) -> Option<(Box<str>, Reason)> {
        if let Some(key) = self.too_long.get() {
            Some((key.clone(), Reason::TooLong))
        } else if self.traceparent_seen.get() && !context.span().span_context().is_valid() {
            Some((TRACEPARENT.into(), Reason::Malformed))
        } else if self.baggage_seen.get() && context.baggage().is_empty() {
            Some((BAGGAGE.into(), Reason::Malformed))
        } else {
            None
        }
    }
}

fn max_bytes(header: Option<Header>) -> usize {
    if header == Some(Header::Tracestate) { tracestate::MAX_BYTES } else { MAX_BYTES }
}

/// A list whose members stand for themselves. Bytes that are no text have none.
fn text(value: &str) -> &str {
    if value == NOT_TEXT { "" } else { value }
}

fn is_empty(member: &str) -> bool {
    member.trim_ascii().is_empty()
}

/// Whether a list is within the limits even if empty members count.
fn is_short(list: &str) -> bool {
    list.len() <= MAX_BYTES && commas(list) < MAX_MEMBERS
}
