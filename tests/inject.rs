//! `inject` into messages that have little room, or a trace already; and what hostile messages cost.

use std::cell::Cell;

use ctxhop::{
    carrier::{Carrier, Headers, extract_with, inject_with},
    propagation::TraceContextPropagator,
};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    baggage::BaggageExt,
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, TraceContextExt, TraceState},
};
use opentelemetry_sdk::propagation::BaggagePropagator;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traced() -> Context {
    let state = TraceState::from_key_value([("a", "1")]).unwrap();
    let span = SpanContext::new(TraceId::from(1), SpanId::from(2), TraceFlags::SAMPLED, false, state);
    Context::new().with_remote_span_context(span)
}

fn composite() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
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
    assert!(inject_with(&composite(), &traced(), &mut message));
    let names: Vec<_> = message.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["u1", "u2", "traceparent", "tracestate"]);
    assert_eq!(message.headers.get("tracestate"), Some("a=1"));
}

#[test]
fn no_tracestate_goes_without_its_traceparent() {
    let mut message = Small { headers: Headers::from_iter([("tracestate", "stale=1")]), count: 4, bytes: 10 };
    assert!(!inject_with(&composite(), &traced(), &mut message));
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
fn baggage_alone_leaves_the_trace_of_the_message() {
    let mut message = Headers::from_iter([("traceparent", PARENT), ("tracestate", "a=1"), ("x", "y")]);
    let cx = Context::new().with_baggage([KeyValue::new("tenant", "7")]);
    assert!(inject_with(&composite(), &cx, &mut message));
    assert_eq!(
        message.iter().collect::<Vec<_>>(),
        [("traceparent", PARENT), ("tracestate", "a=1"), ("x", "y"), ("baggage", "tenant=7")]
    );
}

#[test]
fn what_is_carried_of_a_long_baggage_can_be_extracted() {
    // Three bytes for each of these, percent-encoded.
    let long = |name: &'static str| KeyValue::new(name, " ".repeat(1500).replace(' ', "="));
    let cx = Context::new().with_baggage([long("a"), long("b"), long("c")]);
    let mut message = Headers::new();
    assert!(!inject_with(&composite(), &cx, &mut message), "not all of it is carried");
    assert_eq!(extract_with(&composite(), &message).baggage().len(), 1);
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
fn the_longest_tracestate_is_read() {
    let member = |n: usize| format!("{n:0>255}{}={}", "", "v".repeat(256)).replacen('0', "k", 1);
    let state: Vec<_> = (0..32).map(member).collect();
    let message = Headers::from_iter([("traceparent", PARENT.to_owned()), ("tracestate", state.join(","))]);
    let propagator = TraceContextPropagator::new();
    let mut forwarded = Headers::new();
    assert!(inject_with(&propagator, &extract_with(&propagator, &message), &mut forwarded));
    assert_eq!(forwarded, message);
}

/// Looks at every key, as propagators do that go by a prefix.
#[derive(Debug)]
struct ByPrefix(Vec<String>);

impl TextMapPropagator for ByPrefix {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        extractor.keys().into_iter().for_each(|key| _ = extractor.get(key));
        cx.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.0)
    }
}

/// Counts how often it is walked.
struct Counting(Headers, Cell<usize>);

impl Carrier for Counting {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.1.set(self.1.get() + 1);
        Carrier::get_all(&self.0, key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        Carrier::keys(&self.0)
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.0.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        Carrier::remove(&mut self.0, key);
    }
}

#[test]
fn a_message_of_many_keys_is_walked_a_bounded_number_of_times() {
    let headers = (0..40_000).map(|n| (format!("uberctx-{n}"), "x".to_owned())).collect();
    let message = Counting(headers, Cell::new(0));
    extract_with(&ByPrefix(vec!["uberctx-".to_owned()]), &message);
    assert_eq!(message.1.get(), 256);
}
