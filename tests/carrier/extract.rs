//! `extract` beyond the contract: what is joined, what is too much, what is wrong, and what it costs.

use std::cell::Cell;

use ctxhop::{
    carrier::{self, Carrier, Headers, NOT_TEXT, Prefixed, Reason, extract_with, inject_with},
    prelude::*,
    propagation::TraceContextPropagator,
};
use opentelemetry::{
    Context,
    baggage::BaggageExt,
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator as SdkPropagator};
use proptest::{collection::vec, prelude::*};

use crate::{PARENT, propagator, received, span};

#[test]
fn a_bare_message_does_not_inherit_what_is_current() {
    let current = received([("traceparent", PARENT), ("baggage", "user=7")]).with_value("current");
    current.run(|| {
        let cx = carrier::extract_with(&propagator(), &Headers::new());
        assert!(!cx.has_active_span() && cx.baggage().is_empty() && cx.get::<&str>().is_none());
        let cx = carrier::extract_with(&propagator(), &Headers::from_iter([("traceparent", "broken")]));
        assert!(!cx.has_active_span() && cx.baggage().is_empty() && cx.get::<&str>().is_none());
    });
}

#[test]
fn lists_are_joined_for_propagators_that_read_one_header() {
    let message =
        Headers::from_iter([("traceparent", PARENT), ("tracestate", "a=1"), ("TraceState", ""), ("tracestate", "b=2")]);
    let cx = carrier::extract_with(&SdkPropagator::new(), &message);
    assert_eq!(cx.span().span_context().trace_state().header(), "a=1,b=2");
}

#[test]
fn what_is_rejected_has_a_name() {
    let long = "x".repeat(16_448);
    let many = Headers::from_iter((0..65).map(|_| ("tracestate", "")).chain([("traceparent", PARENT)]));
    for (message, key, reason, text) in [
        (
            Headers::from_iter([("traceparent", "00-0-0-00")]),
            "traceparent",
            Reason::Malformed,
            "the traceparent of the message is malformed",
        ),
        (
            Headers::from_iter([("traceparent", "")]),
            "traceparent",
            Reason::Malformed,
            "the traceparent of the message is malformed",
        ),
        (
            Headers::from_iter([("traceparent", PARENT), ("baggage", "nothing")]),
            "baggage",
            Reason::Malformed,
            "the baggage of the message is malformed",
        ),
        (
            Headers::from_iter([("traceparent", PARENT), ("tracestate", &long)]),
            "tracestate",
            Reason::TooLong,
            "the tracestate of the message is too long",
        ),
        (many, "tracestate", Reason::TooLong, "the tracestate of the message is too long"),
    ] {
        let rejected = carrier::try_extract_with(&propagator(), &message).expect_err(key);
        assert_eq!((rejected.key(), rejected.reason(), &*rejected.to_string()), (key, reason, text));
        let context = carrier::extract_with(&propagator(), &message);
        assert_eq!(span(&rejected.into_context()), span(&context), "`extract` keeps what `try_extract` does");
    }
}

#[test]
fn what_is_of_no_use_by_right_is_not_rejected() {
    for message in [
        Headers::from_iter([("tracestate", "a=1")]),
        Headers::from_iter([("traceparent", PARENT), ("tracestate", ""), ("baggage", " ")]),
        Headers::from_iter([("traceparent", PARENT), ("tracestate", "not a list")]),
        Headers::from_iter([("b3", "0")]),
    ] {
        assert!(carrier::try_extract_with(&propagator(), &message).is_ok(), "{message:?}");
    }
}

#[test]
fn values_of_just_the_limit_are_read() {
    let state = format!("a=1{}", " ".repeat(16_447 - 3));
    let message = Headers::from_iter([("traceparent", PARENT), ("tracestate", &state)]);
    let cx = carrier::try_extract_with(&propagator(), &message).unwrap();
    assert_eq!(span(&cx).trace_state().header(), "a=1");
    // Of several values, the commas that join them count.
    for (spaces, fits) in [(16_447 - 7, true), (16_447 - 6, false)] {
        let first = format!("a=1{}", " ".repeat(spaces));
        let message = Headers::from_iter([("traceparent", PARENT), ("tracestate", &first), ("tracestate", "b=2")]);
        assert_eq!(carrier::try_extract_with(&propagator(), &message).is_ok(), fits);
    }
}

#[test]
fn of_baggage_the_leading_members_that_fit_are_kept() {
    let member = |n: usize| format!("k{n}=v");
    let list = |range: std::ops::Range<usize>| range.map(member).collect::<Vec<_>>().join(",");
    // The number of members, and what they fill, from one header and from many.
    for message in [
        Headers::from_iter([("baggage", list(0..65))]),
        Headers::from_iter([("baggage", list(0..100))]),
        Headers::from_iter((0..100).map(|n| ("baggage", member(n)))),
        Headers::from_iter([("baggage", list(0..60)), ("baggage", list(60..100))]),
    ] {
        let rejected = carrier::try_extract_with(&propagator(), &message).expect_err("too many");
        assert_eq!((rejected.key(), rejected.reason()), ("baggage", Reason::TooLong));
        let cx = rejected.into_context();
        assert_eq!(cx.baggage().len(), 64);
        assert!(cx.baggage().get("k63").is_some() && cx.baggage().get("k64").is_none());
    }
    let long = |n: usize, length: usize| format!("k{n}={}", "v".repeat(length));
    for (message, kept) in [
        (Headers::from_iter([("baggage", long(0, 8189)), ("baggage", long(1, 1))]), 1),
        (Headers::from_iter([("baggage", long(0, 1)), ("baggage", long(1, 9000)), ("baggage", long(2, 1))]), 1),
        (Headers::from_iter([("baggage", long(0, 4000)), ("baggage", long(1, 4000)), ("baggage", long(2, 4000))]), 2),
        (Headers::from_iter([("baggage", "é".repeat(1 << 20))]), 0),
    ] {
        let rejected = carrier::try_extract_with(&propagator(), &message).expect_err("too long");
        assert_eq!(rejected.into_context().baggage().len(), kept);
    }
}

#[test]
fn of_baggage_what_is_empty_is_not_counted() {
    let member = |n: usize| format!("k{n}=v");
    let list = |count| (0..count).map(member).collect::<Vec<_>>();
    for message in [
        Headers::from_iter([("baggage", list(64).join(",") + ",")]),
        Headers::from_iter([("baggage", list(64).join(",") + ", ,\t, ")]),
        Headers::from_iter([("baggage", ",".repeat(1000) + &list(64).join(" ,, "))]),
        Headers::from_iter([("baggage", list(64).join(",") + ","), ("baggage", ",".to_owned())]),
        Headers::from_iter((0..32).map(|n| ("baggage", format!("{},{},", member(2 * n), member(2 * n + 1))))),
    ] {
        let cx = carrier::try_extract_with(&propagator(), &message).expect("64 are not too many");
        assert_eq!(cx.baggage().len(), 64);
        let mut forwarded = Headers::new();
        assert!(inject_with(&propagator(), &cx, &mut forwarded), "all of it is carried");
    }
    let message = Headers::from_iter([("baggage", list(65).join(",,"))]);
    let rejected = carrier::try_extract_with(&propagator(), &message).expect_err("65 are");
    assert_eq!((rejected.reason(), rejected.into_context().baggage().len()), (Reason::TooLong, 64));

    // What is empty counts as bytes.
    for (bytes, fits) in [(8192, true), (8193, false)] {
        let message = Headers::from_iter([("baggage", format!("a=1{}", ",".repeat(bytes - 3)))]);
        let extracted = carrier::try_extract_with(&propagator(), &message);
        assert_eq!(extracted.is_ok(), fits, "{bytes}");
        assert_eq!(extracted.unwrap_or_else(carrier::Rejected::into_context).baggage().len(), 1);
    }
}

#[test]
fn of_one_header_a_message_has_64_values_and_no_more() {
    for (empty, fits) in [(63, true), (64, false)] {
        let message = Headers::from_iter(vec![("baggage", ""); empty].into_iter().chain([("baggage", "a=1")]));
        let extracted = carrier::try_extract_with(&propagator(), &message);
        assert_eq!(extracted.is_ok(), fits);
        assert_eq!(extracted.unwrap_or_else(carrier::Rejected::into_context).baggage().len(), usize::from(fits));
    }
}

#[test]
fn what_a_message_repeats_without_end_ends() {
    for value in ["", "a=1", PARENT, NOT_TEXT] {
        for (key, propagator) in [
            ("traceparent", &TraceContextPropagator::new() as &dyn TextMapPropagator),
            ("baggage", &BaggagePropagator::new()),
        ] {
            let rejected = carrier::try_extract_with(propagator, &Endless { key, value }).expect_err(key);
            assert_eq!((rejected.key(), rejected.reason()), (key, Reason::TooLong));
        }
    }
}

struct Endless {
    key: &'static str,
    value: &'static str,
}

impl Carrier for Endless {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        std::iter::repeat(self.value).take_while(move |_| key == self.key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        [self.key].into_iter()
    }

    fn set(&mut self, _: &str, _: String) -> bool {
        false
    }

    fn remove(&mut self, _: &str) {}
}

#[test]
fn a_long_value_is_kept_from_any_propagator() {
    let long = format!("cc{}-{}", &PARENT[2..], "x".repeat(8192));
    let rejected = carrier::try_extract_with(&SdkPropagator::new(), &Headers::from_iter([("traceparent", long)]));
    assert_eq!(rejected.unwrap_err().reason(), Reason::TooLong);
}

#[test]
fn other_propagators_see_all_keys_and_values() {
    let message = Headers::from_iter([("uber-a", "1"), ("UBER-b", "2"), ("uber-b", "3")]);
    let cx = carrier::try_extract_with(&Uber, &message).unwrap();
    assert_eq!(cx.get::<Vec<String>>().unwrap(), &["uber-a=1", "UBER-b=2,3", "uber-b=2,3"]);
}

/// Like Jaeger's, goes by the keys that it finds.
#[derive(Debug)]
struct Uber;

impl TextMapPropagator for Uber {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let values = |key: &&str| extractor.get_all(key).unwrap().join(",");
        cx.with_value(extractor.keys().iter().map(|key| format!("{key}={}", values(key))).collect::<Vec<_>>())
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
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

/// Looks at every key that there is, and at every value, as propagators do that go by a prefix.
#[derive(Debug)]
struct ByPrefix;

impl TextMapPropagator for ByPrefix {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let seen = extractor.keys().into_iter().filter(|key| extractor.get(key).is_some()).count();
        cx.with_value(seen)
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

/// Counts the headers that are looked at.
struct Counting {
    headers: Headers,
    steps: Cell<usize>,
}

impl Counting {
    fn new(count: usize) -> Self {
        let headers = (0..count).map(|n| (format!("uberctx-{n}"), "x".to_owned())).collect();
        Self { headers, steps: Cell::new(0) }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
    }
}

impl Carrier for Counting {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers.iter().inspect(|_| self.step());
        headers.filter(move |(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        Carrier::keys(&self.headers).inspect(|_| self.step())
    }
}

#[test]
fn whatever_the_propagator_the_whole_work_is_bounded() {
    let composite = || TextMapCompositePropagator::new(vec![Box::new(ByPrefix), Box::new(propagator())]);
    for count in [10, 256, 257, 10_000, 100_000] {
        let message = Counting::new(count);
        let result = carrier::try_extract_with(&composite(), &message);
        let all = count <= 256;
        assert_eq!(result.is_ok(), all, "{count}");
        let cx = result.unwrap_or_else(|rejected| {
            assert_eq!((rejected.key(), rejected.reason()), ("keys", Reason::TooLong));
            rejected.into_context()
        });
        assert_eq!(cx.get(), Some(&if all { count } else { 0 }), "{count}");
        // A few look-ups of W3C's keys, and one of each key if there are few.
        let limit = 5 * count + if all { count * count } else { 257 };
        assert!(message.steps.get() <= limit, "{} steps for {count} keys", message.steps.get());
    }

    // What is known by name is found among any number of keys.
    let mut message = Counting::new(1_000);
    message.headers.append("traceparent", PARENT);
    let rejected = carrier::try_extract_with(&composite(), &message).expect_err("too many keys");
    assert_eq!(span(&rejected.into_context()), span(&received([("traceparent", PARENT)])));
}

#[test]
fn a_prefix_bounds_the_work_as_well() {
    let prefixed = |count| Prefixed::new("uberctx-", Counting::new(count));
    for count in [256, 100_000] {
        let message = prefixed(count);
        let result = carrier::try_extract_with(&ByPrefix, &message);
        assert_eq!(result.is_ok(), count == 256);
        assert!(message.inner().steps.get() <= 257 * 257, "{} steps", message.inner().steps.get());
    }

    // The first value is found without a look at what is behind it.
    let message = prefixed(100_000);
    assert_eq!(message.get_all("7").next(), Some("x"));
    assert_eq!(message.inner().steps.get(), 8);

    // And no more values are kept than anybody reads.
    let endless = Prefixed::new("", Endless { key: "baggage", value: "a=1" });
    assert_eq!(endless.get_all("baggage").count(), 65);
    let rejected = carrier::try_extract_with(&propagator(), &endless).expect_err("there is no end");
    assert_eq!((rejected.key(), rejected.reason()), ("baggage", Reason::TooLong));
}

proptest! {
    #[test]
    fn any_message_is_survived(message in vec(("traceparent|tracestate|baggage|.{0,3}", "[a,;=% -]{0,40}|.{0,40}"), 0..9)) {
        let mut message = Headers::from_iter(message);
        let cx = carrier::extract_with(&propagator(), &message);
        prop_assert!(!cx.has_active_span() && cx.baggage().len() <= 64);
        message.insert("traceparent", PARENT);
        prop_assert!(carrier::extract_with(&propagator(), &message).has_active_span());
    }
}
