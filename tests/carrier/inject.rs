//! `inject` beyond the contract: messages that have little room, or a trace already.

use ctxhop::{
    carrier::{Carrier, Headers, extract_with, inject_with},
    propagation::TraceContextPropagator,
};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    baggage::BaggageExt,
    propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt, TraceState},
};

use crate::{PARENT, propagator, received};

fn traced() -> Context {
    let state = TraceState::from_key_value([("a", "1")]).unwrap();
    let span = SpanContext::new(TraceId::from(1), SpanId::from(2), TraceFlags::SAMPLED, false, state);
    Context::new().with_remote_span_context(span)
}

/// Takes so many headers, and values of so many bytes.
struct Small {
    headers: Headers,
    count: usize,
    bytes: usize,
}

impl Carrier for Small {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        Carrier::get_all(&self.headers, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        Carrier::keys(&self.headers)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        let fits = value.len() <= self.bytes && (self.headers.get(key).is_some() || self.headers.len() < self.count);
        fits && self.headers.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        Carrier::remove(&mut self.headers, key);
    }
}

#[test]
fn what_is_stale_makes_room() {
    let stale = [("u1", "x"), ("u2", "x"), ("tracestate", "stale=1"), ("baggage", "stale=1")];
    let mut message = Small { headers: Headers::from_iter(stale), count: 4, bytes: 100 };
    assert!(inject_with(&propagator(), &traced(), &mut message));
    let names: Vec<_> = message.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["u1", "u2", "traceparent", "tracestate"]);
    assert_eq!(message.headers.get("tracestate"), Some("a=1"));
}

#[test]
fn no_tracestate_goes_without_its_traceparent() {
    let mut message = Small { headers: Headers::from_iter([("tracestate", "stale=1")]), count: 4, bytes: 10 };
    assert!(!inject_with(&propagator(), &traced(), &mut message));
    assert!(message.headers.is_empty(), "{:?}", message.headers);
}

/// Sets the pair in the order that ours does not.
#[derive(Debug)]
struct StateFirst(Vec<String>);

impl TextMapPropagator for StateFirst {
    fn inject_context(&self, _: &Context, injector: &mut dyn Injector) {
        injector.set("tracestate", "a=1".to_owned());
        injector.set("traceparent", PARENT.to_owned());
    }

    fn extract_with_context(&self, cx: &Context, _: &dyn Extractor) -> Context {
        cx.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.0)
    }
}

#[test]
fn the_order_in_which_a_propagator_sets_its_pair_does_not_matter() {
    let propagator = StateFirst(["traceparent", "tracestate"].map(str::to_owned).into());
    let stale = [("traceparent", "stale"), ("tracestate", "stale=1")];
    let mut message = Headers::from_iter(stale);
    assert!(inject_with(&propagator, &Context::new(), &mut message));
    assert_eq!((message.get("traceparent"), message.get("tracestate")), (Some(PARENT), Some("a=1")));

    let mut message = Small { headers: Headers::from_iter(stale), count: 4, bytes: 10 };
    assert!(!inject_with(&propagator, &Context::new(), &mut message));
    assert!(message.headers.is_empty(), "{:?}", message.headers);
}

#[test]
fn an_empty_context_leaves_the_message_as_it_is() {
    let before = Headers::from_iter([("traceparent", PARENT), ("tracestate", "a=1"), ("baggage", "b=1"), ("x", "y")]);
    let mut message = before.clone();
    assert!(!inject_with(&propagator(), &Context::new(), &mut message), "nothing is carried");
    assert_eq!(message, before);
}

#[test]
fn baggage_alone_leaves_the_trace_of_the_message() {
    let mut message = Headers::from_iter([("traceparent", PARENT), ("tracestate", "a=1"), ("x", "y")]);
    let cx = Context::new().with_baggage([KeyValue::new("tenant", "7")]);
    assert!(inject_with(&propagator(), &cx, &mut message));
    assert_eq!(
        message.iter().collect::<Vec<_>>(),
        [("traceparent", PARENT), ("tracestate", "a=1"), ("x", "y"), ("baggage", "tenant=7")]
    );
}

/// Sets a baggage, and has a key for a trace besides, as Jaeger's.
#[derive(Debug)]
struct OtherTrace(Vec<String>);

impl TextMapPropagator for OtherTrace {
    fn inject_context(&self, _: &Context, injector: &mut dyn Injector) {
        injector.set("baggage", "tenant=7".to_owned());
    }

    fn extract_with_context(&self, cx: &Context, _: &dyn Extractor) -> Context {
        cx.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.0)
    }
}

#[test]
fn only_w3c_keys_are_known_to_be_a_trace() {
    let propagator = OtherTrace(["uber-trace-id", "baggage"].map(str::to_owned).into());
    let mut message = Headers::from_iter([("uber-trace-id", "1:2:0:1"), ("traceparent", PARENT)]);
    let cx = Context::new().with_baggage([KeyValue::new("tenant", "7")]);
    assert!(inject_with(&propagator, &cx, &mut message));
    assert_eq!(message.iter().collect::<Vec<_>>(), [("traceparent", PARENT), ("baggage", "tenant=7")]);
}

#[test]
fn what_is_carried_of_a_long_baggage_can_be_extracted() {
    // Three bytes for each of these, percent-encoded.
    let long = |name: &'static str| KeyValue::new(name, " ".repeat(1500).replace(' ', "="));
    let cx = Context::new().with_baggage([long("a"), long("b"), long("c")]);
    let mut message = Headers::new();
    assert!(!inject_with(&propagator(), &cx, &mut message), "not all of it is carried");
    assert_eq!(extract_with(&propagator(), &message).baggage().len(), 1);
}

#[test]
fn of_two_members_of_a_key_the_first_is_sent() {
    let state = TraceState::from_key_value([("a", "1"), ("b", "2"), ("a", "3")]).unwrap();
    let span = SpanContext::new(TraceId::from(1), SpanId::from(2), TraceFlags::SAMPLED, false, state);
    let mut message = Headers::new();
    assert!(inject_with(&TraceContextPropagator::new(), &Context::new().with_remote_span_context(span), &mut message));
    assert_eq!(message.get("tracestate"), Some("a=1,b=2"));
}

#[test]
fn a_value_that_is_refused_leaves_no_stale_one() {
    let state = format!("{}={}", "k".repeat(100), "v".repeat(100));
    let cx = received([("traceparent", PARENT), ("tracestate", &state)]);
    for (limit, left) in [(100, Headers::from_iter([("traceparent", PARENT)])), (10, Headers::new())] {
        let stale = [("traceparent", "stale"), ("tracestate", "stale=1"), ("baggage", "stale=1")];
        let mut message = Small { headers: Headers::from_iter(stale), count: usize::MAX, bytes: limit };
        assert!(!inject_with(&propagator(), &cx, &mut message), "not all of it is carried");
        assert_eq!(message.headers, left);
    }
}

#[test]
fn baggage_alone_is_carried() {
    let cx = Context::new().with_baggage([KeyValue::new("user", "7")]);
    let mut message = Headers::new();
    assert!(inject_with(&propagator(), &cx, &mut message));
    assert_eq!(message, Headers::from_iter([("baggage", "user=7")]));
}
