//! Baggage in headers, by the member: half of what reading takes, the API's own set of members does.

use std::{collections::HashMap, hint::black_box};

use ctxhop::{
    carrier::{self, Headers},
    propagation::BaggagePropagator,
};
use opentelemetry::{
    Context, KeyValue,
    baggage::{Baggage, BaggageExt},
    propagation::TextMapPropagator,
};
use opentelemetry_sdk::propagation::BaggagePropagator as SdkPropagator;

/// Of each message. The rounds are members.
const MEMBERS: u32 = 50;

fn names() -> Vec<(String, String)> {
    (0..MEMBERS).map(|n| (format!("member-{n}"), format!("value-{n}"))).collect()
}

fn context() -> Context {
    Context::new().with_baggage(names().into_iter().map(|(name, value)| KeyValue::new(name, value)))
}

fn messages(rounds: u32, mut hop: impl FnMut()) {
    for _ in 0..rounds / MEMBERS {
        hop();
    }
}

pub(crate) fn inject_by_sdk(rounds: u32) {
    let (propagator, cx) = (SdkPropagator::new(), context());
    messages(rounds, || {
        let mut headers = HashMap::<String, String>::new();
        propagator.inject_context(black_box(&cx), &mut headers);
        black_box(headers);
    });
}

pub(crate) fn inject(rounds: u32) {
    let (propagator, cx) = (BaggagePropagator::new(), context());
    messages(rounds, || {
        let mut headers = Headers::new();
        carrier::inject_with(&propagator, black_box(&cx), &mut headers);
        black_box(headers);
    });
}

/// What no propagator can do without: the members in the context, of names and values that are there already.
pub(crate) fn extract_by_nobody(rounds: u32) {
    let names = names();
    messages(rounds, || {
        let mut baggage = Baggage::new();
        for (name, value) in black_box(&names) {
            baggage.insert(name.clone(), value.clone());
        }
        drop(Context::new().with_baggage(baggage));
    });
}

pub(crate) fn extract_by_sdk(rounds: u32) {
    let propagator = SdkPropagator::new();
    let mut headers = HashMap::<String, String>::new();
    propagator.inject_context(&context(), &mut headers);
    messages(rounds, || drop(propagator.extract_with_context(&Context::new(), black_box(&headers))));
}

pub(crate) fn extract(rounds: u32) {
    let propagator = BaggagePropagator::new();
    let mut headers = Headers::new();
    carrier::inject_with(&propagator, &context(), &mut headers);
    messages(rounds, || drop(carrier::extract_with(&propagator, black_box(&headers))));
}
