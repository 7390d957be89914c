use opentelemetry::{
    Context, global,
    propagation::{Injector, TextMapPropagator},
};

use super::{Carrier, same_key};
use crate::propagation::{BAGGAGE, TRACEPARENT, TRACESTATE, baggage, leading_members, tracestate};

/// Puts a context into a message, by the global propagator.
///
/// Use it right before sending. It returns whether the message carries the context now: `false` if the context has
/// nothing to carry, or if the message took none of it, or not all.
///
/// # Guarantees
///
/// - The propagator's keys are replaced, also by nothing: no stale `tracestate` stays beside a new `traceparent`, and no
///   stale value where the message refuses the new one. Other keys are left alone, and so is the trace in the message
///   if the context has none.
/// - A context with nothing to carry changes nothing, so that what an earlier sender has put into the message stays.
/// - A message that cannot be written to is as it was, and that is no error.
/// - Of a baggage over 64 members or 8,192 bytes, the leading members that fit are carried; and of a `baggage` or a
///   `tracestate` that is longer than the message's [`room`](Carrier::room) for it.
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
/// What is borrowed to be read does not compile. It is `request.headers_mut()`, not `&mut request.headers()`:
///
/// ```compile_fail,E0277
/// # let request = http::Request::new(());
/// ctxhop::carrier::inject(&opentelemetry::Context::current(), &mut request.headers());
/// ```
pub fn inject(cx: &Context, carrier: &mut impl Carrier) -> bool {
    global::get_text_map_propagator(|propagator| inject_with(propagator, cx, carrier))
}

/// Puts a context into a message, by this propagator. Otherwise as [`inject`].
pub fn inject_with(propagator: &dyn TextMapPropagator, cx: &Context, carrier: &mut impl Carrier) -> bool {
    let mut replacing =
        Replacing { propagator, carrier, begun: false, refused: false, trace_begun: false, no_trace: false };
    propagator.inject_context(cx, &mut replacing);
    replacing.begun && !replacing.refused
}

struct Replacing<'a, C> {
    propagator: &'a dyn TextMapPropagator,
    carrier: &'a mut C,
    begun: bool,
    refused: bool,
    /// One of `traceparent` and `tracestate` was set: what the message had of the other is stale.
    trace_begun: bool,
    /// The `traceparent` was refused, without which a `tracestate` says nothing.
    no_trace: bool,
}

impl<C: Carrier> Injector for Replacing<'_, C> {
    fn set(&mut self, key: &str, mut value: String) {
        let (is_parent, is_state) = (same_key(key, TRACEPARENT), same_key(key, TRACESTATE));
        // What is stale goes first: it may be what there would be no room for the new values beside.
        if !self.begun {
            self.begun = true;
            for field in self.propagator.fields().filter(|field| !same_key(field, key)) {
                // A trace is replaced by a trace only: who has baggage and no span is not to cut it.
                if !same_key(field, TRACEPARENT) && !same_key(field, TRACESTATE) {
                    self.carrier.remove(field);
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
        let room = self.carrier.room(key);
        // No receiver reads more than the limits allow.
        let leading = if same_key(key, BAGGAGE) {
            leading_members(&value, room.min(baggage::MAX_BYTES), baggage::MAX_MEMBERS).len()
        } else if is_state && value.len() > room {
            leading_members(&value, room, tracestate::MAX_MEMBERS).len()
        } else {
            value.len()
        };
        self.refused |= leading < value.len();
        let nothing_left = leading == 0 && !value.is_empty();
        value.truncate(leading);
        if nothing_left || !self.carrier.set(key, value) {
            self.refused = true;
            self.carrier.remove(key);
            if is_parent {
                self.no_trace = true;
                self.carrier.remove(TRACESTATE);
            }
        }
    }
}
