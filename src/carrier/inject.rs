use opentelemetry::{
    Context, KeyValue,
    baggage::{Baggage, BaggageExt},
    global,
    propagation::{Injector, TextMapPropagator},
    trace::TraceContextExt,
};

use super::{Carrier, is_line, same_key};
use crate::{
    conventions::{CONTEXT_REFUSED, REASON},
    propagation::{
        Header, TRACEPARENT, TRACESTATE,
        baggage::{self, members},
        commas, leading_members, tracestate,
    },
};

/// Puts a context into a message, by the global propagator.
///
/// Use it right before sending. It returns whether the message carries the whole context now: `false` if the context has
/// nothing to carry, or if the message took none of it, or only a part.
///
/// # Guarantees
///
/// - New values replace the propagator's old ones, and a key without a new value loses its old one: no stale
///   `tracestate` stays beside a new `traceparent`, and no stale value where the message refuses the new one. Other keys stay, and
///   the message's `traceparent` and `tracestate` stay too if the context has no trace. The trace of another propagator, as
///   B3's or Jaeger's, does not stay: nothing tells its keys from others.
/// - A context with nothing to carry changes nothing: the headers of an earlier sender stay.
/// - A message that cannot be written to stays as it is, and that is no error.
/// - Of a baggage over 64 members or 8,192 bytes, the leading members that fit are carried. The same goes for a
///   `baggage` or a `tracestate` that is longer than the message's [`room`](Carrier::room) for it.
/// - If the message does not take all, the context's span gets an event, `ctxhop.context_refused`.
///
/// # No propagator is trusted
///
/// Baggage may come from strangers. Whatever the propagator does with it:
///
/// - No CR, LF or NUL is written. A member of the `baggage` that contains one, or bytes beyond ASCII, is left out alone;
///   any other value is refused.
/// - No part of a value or of its metadata becomes a member. Metadata that could is encoded before the propagator sees
///   it. If a value has a comma, only members that the context has are written, with no properties but their own.
///
/// # Examples
///
/// ```
/// use ctxhop::carrier;
/// use opentelemetry::{Context, trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId}};
/// use std::collections::BTreeMap;
///
/// # opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new());
/// # let span = SpanContext::new(TraceId::from(0xa), SpanId::from(0xb), TraceFlags::SAMPLED, false, Default::default());
/// let cx = Context::new().with_remote_span_context(span);
///
/// let mut message = BTreeMap::from([("tracestate".to_owned(), "stale=1".to_owned())]);
/// assert!(carrier::inject(&cx, &mut message));
/// assert_eq!(message.into_iter().collect::<Vec<_>>(), [(
///     "traceparent".to_owned(),
///     "00-0000000000000000000000000000000a-000000000000000b-01".to_owned(),
/// )]);
///
/// let mut message = BTreeMap::new();
/// assert!(!carrier::inject(&Context::new(), &mut message));
/// assert!(message.is_empty());
/// ```
///
/// A message that is borrowed for reading does not compile. Write `request.headers_mut()`, not `&mut request.headers()`:
///
/// ```compile_fail,E0277
/// # let request = http::Request::new(());
/// ctxhop::carrier::inject(&opentelemetry::Context::current(), &mut request.headers());
/// ```
pub fn inject(cx: &Context, carrier: &mut impl Carrier) -> bool {
    global::get_text_map_propagator(|propagator| inject_with(propagator, cx, carrier))
}

/// Puts a context into a message, by this propagator. In all else it is [`inject`].
pub fn inject_with(propagator: &dyn TextMapPropagator, cx: &Context, carrier: &mut impl Carrier) -> bool {
    let baggage = cx.baggage();
    let (mut safe, mut has_commas) = (true, false);
    for (_, (value, metadata)) in baggage {
        safe &= metadata.as_str().is_empty() || baggage::is_safe(metadata);
        has_commas |= commas(value.as_str()) > 0;
    }
    let mut replacing = Replacing {
        propagator,
        cx,
        carrier,
        baggage,
        commas: has_commas,
        begun: false,
        refused: false,
        trace_begun: false,
        no_trace: false,
    };
    if safe {
        propagator.inject_context(cx, &mut replacing);
    } else {
        // The SDK's propagator writes metadata as it is.
        propagator.inject_context(&cx.with_baggage(baggage::with_safe_metadata(baggage)), &mut replacing);
    }
    replacing.begun && !replacing.refused
}

struct Replacing<'a, C> {
    propagator: &'a dyn TextMapPropagator,
    cx: &'a Context,
    carrier: &'a mut C,
    baggage: &'a Baggage,
    /// A value of the baggage has a comma, and could pass for several members.
    commas: bool,
    begun: bool,
    refused: bool,
    /// One of `traceparent` and `tracestate` was set: the message's old value of the other is stale.
    trace_begun: bool,
    /// The `traceparent` was refused, without which a `tracestate` says nothing.
    no_trace: bool,
}

impl<C: Carrier> Injector for Replacing<'_, C> {
    fn set(&mut self, key: &str, value: String) {
        let header = Header::of(key);
        let is_parent = header == Some(Header::Traceparent);
        let is_state = header == Some(Header::Tracestate);
        // Stale values go first: the new ones may need their room.
        if !self.begun {
            self.begun = true;
            for field in self.propagator.fields() {
                match Header::of(field) {
                    // Only a trace replaces a trace: a context with baggage and no span must not cut it.
                    Some(Header::Traceparent | Header::Tracestate) => {}
                    _ if same_key(field, key) => {}
                    _ => self.carrier.remove(field),
                }
            }
        }
        if (is_parent || is_state) && !self.trace_begun {
            self.trace_begun = true;
            self.carrier.remove(if is_parent { TRACESTATE } else { TRACEPARENT });
        }
        if is_state && self.no_trace {
            return;
        }
        let (value, is_part) = match header {
            Some(Header::Baggage) => self.baggage_that_fits(key, value),
            Some(Header::Tracestate) => cut(value, self.carrier.room(key), tracestate::MAX_MEMBERS),
            _ => (value, false),
        };
        let nothing_left = is_part && value.is_empty();
        let is_safe = (header.is_some() || is_line(key)) && is_line(&value);
        if nothing_left || !is_safe || !self.carrier.set(key, value) {
            self.refuse(key, "does not take");
            self.carrier.remove(key);
            if is_parent {
                self.no_trace = true;
                self.carrier.remove(TRACESTATE);
            }
        } else if is_part {
            self.refuse(key, "takes only a part of");
        }
    }
}

impl<C: Carrier> Replacing<'_, C> {
    /// The members of a list that are safe and have room, whoever has written the list; and whether some are missing.
    fn baggage_that_fits(&self, key: &str, list: String) -> (String, bool) {
        let (list, missing) = if self.commas || !is_text(&list) { self.trusted_members(&list) } else { (list, false) };
        // No receiver reads more than the limits allow.
        let max_bytes = self.carrier.room(key).min(baggage::MAX_BYTES);
        let count = if list.is_empty() { 0 } else { commas(&list) + 1 };
        if list.len() <= max_bytes && count <= baggage::MAX_MEMBERS {
            (list, missing || count < self.baggage.len())
        } else {
            let (list, is_part) = cut(list, max_bytes, baggage::MAX_MEMBERS);
            (list, missing || is_part)
        }
    }

    /// The members that may be sent, and whether some are missing.
    fn trusted_members(&self, list: &str) -> (String, bool) {
        // Some propagators write none at all.
        let has_properties = list.contains(';');
        let mut own: Vec<_> = self.baggage.iter().collect();
        let trusted = members(list).filter(|member| is_text(member.text)).filter(|member| {
            let is_own = own.iter().position(|(key, (value, metadata))| {
                member.is(key.as_str(), value.as_str()) && (!has_properties || member.has(metadata))
            });
            // Each of them once.
            is_own.map(|at| own.swap_remove(at)).is_some() || !self.commas
        });
        let trusted: Vec<_> = trusted.map(|member| member.text).collect();
        (trusted.join(","), trusted.len() < members(list).count())
    }

    /// Puts an event on the span, if it records.
    fn refuse(&mut self, key: &str, how: &str) {
        self.refused = true;
        let span = self.cx.span();
        if span.is_recording() {
            let reason = KeyValue::new(REASON, format!("the message {how} the {key}"));
            span.add_event(CONTEXT_REFUSED, vec![reason]);
        }
    }
}

/// A list without the last members if it is too long, and whether it was.
fn cut(mut list: String, max_bytes: usize, max_members: usize) -> (String, bool) {
    let leading = leading_members(&list, max_bytes, max_members).len();
    let is_part = leading < list.len();
    list.truncate(leading);
    (list, is_part)
}

fn is_text(list: &str) -> bool {
    // Without an early end, which would take longer for what is text.
    list.bytes().fold(true, |is_text, byte| is_text & matches!(byte, b' '..=b'~' | b'\t'))
}
