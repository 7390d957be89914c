//! What it costs to take a context through the headers of a message: ctxhop's way beside the SDK's.
//!
//! ```sh
//! cargo bench --bench propagation
//! ```
//!
//! A round trip injects into fresh headers and extracts again. `parent` is a `traceparent` alone, with the flags of
//! level 1 (`01`); `random` has those of level 2 (`03`), where there is something to remember beside the span; `state`
//! has a `tracestate` of three members as well. `global` is `parent` through `carrier::inject` and `carrier::extract`,
//! as an application calls them. `baggage` has so many members and no span; `the API alone` puts the same members into a
//! context and drops it, which every propagator has to. Compare only figures of one run.

use std::{collections::HashMap, hint::black_box};

use criterion::{Criterion, criterion_group, criterion_main};
use ctxhop::{
    carrier::{self, Headers},
    propagation::{BaggagePropagator, TraceContextPropagator},
};
use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt},
    global,
    propagation::TextMapPropagator,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::propagation::{
    BaggagePropagator as SdkBaggagePropagator, TraceContextPropagator as SdkPropagator,
};

fn round_trip(c: &mut Criterion) {
    let state = TraceState::from_key_value([("rojo", "00f067aa0ba902b7"), ("congo", "t61rcWkgMzE"), ("foo", "1")]);
    for (kind, flags, state) in [
        ("parent", 0b01, TraceState::default()),
        ("random", 0b11, TraceState::default()),
        ("state", 0b01, state.expect("a valid tracestate")),
    ] {
        let cx = context(flags, state);
        let mut group = c.benchmark_group(format!("round trip/{kind}"));
        let ours = TraceContextPropagator::new();
        group.bench_function("ctxhop, Headers", |b| {
            b.iter(|| {
                let mut headers = Headers::new();
                carrier::inject_with(&ours, black_box(&cx), &mut headers);
                carrier::extract_with(&ours, black_box(&headers))
            });
        });
        group.bench_function("ctxhop, HashMap", |b| {
            b.iter(|| {
                let mut headers = HashMap::<String, String>::new();
                carrier::inject_with(&ours, black_box(&cx), &mut headers);
                carrier::extract_with(&ours, black_box(&headers))
            });
        });
        let sdk = SdkPropagator::new();
        group.bench_function("SDK, HashMap", |b| {
            b.iter(|| {
                let mut headers = HashMap::<String, String>::new();
                sdk.inject_context(black_box(&cx), &mut headers);
                sdk.extract_with_context(&Context::new(), black_box(&headers))
            });
        });
        group.finish();
    }
}

fn baggage(c: &mut Criterion) {
    for count in [1, 8, 64] {
        let members: Vec<_> = (0..count).map(|n| (format!("member-{n}"), format!("value-{n}"))).collect();
        let fill = || {
            let mut baggage = Baggage::new();
            for (name, value) in &members {
                baggage.insert(name.clone(), value.clone());
            }
            Context::new().with_baggage(baggage)
        };
        let cx = fill();
        let mut group = c.benchmark_group(format!("baggage/{count}"));
        group.bench_function("the API alone", |b| b.iter(fill));
        let ours = BaggagePropagator::new();
        group.bench_function("ctxhop, Headers", |b| {
            b.iter(|| {
                let mut headers = Headers::new();
                carrier::inject_with(&ours, black_box(&cx), &mut headers);
                carrier::extract_with(&ours, black_box(&headers))
            });
        });
        let sdk = SdkBaggagePropagator::new();
        group.bench_function("SDK, HashMap", |b| {
            b.iter(|| {
                let mut headers = HashMap::<String, String>::new();
                sdk.inject_context(black_box(&cx), &mut headers);
                sdk.extract_with_context(&Context::new(), black_box(&headers))
            });
        });
        group.finish();
    }
}

fn global(c: &mut Criterion) {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let cx = context(1, TraceState::default());
    let mut group = c.benchmark_group("global");
    group.bench_function("ctxhop, Headers", |b| {
        b.iter(|| {
            let mut headers = Headers::new();
            carrier::inject(black_box(&cx), &mut headers);
            carrier::extract(black_box(&headers))
        });
    });
    group.finish();
}

fn context(flags: u8, state: TraceState) -> Context {
    let trace_id = TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    let span_id = SpanId::from(0x00f0_67aa_0ba9_02b7);
    Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, TraceFlags::new(flags), false, state))
}

criterion_group!(benches, round_trip, baggage, global);
criterion_main!(benches);
