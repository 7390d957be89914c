//! The contract, for every carrier and for the shapes of messages elsewhere; what `inject` and `extract` promise of any;
//! what each carrier has besides.

mod adaptors;
mod contract;
mod distrust;
mod envelope;
mod environment;
mod extract;
mod headers;
mod http;
mod inject;
mod outbox;
#[path = "../support/own_process.rs"]
mod own_process;
mod read_only;

use ctxhop::{
    carrier::{self, Headers},
    propagation::{BaggagePropagator, TraceContextPropagator},
};
use opentelemetry::{
    Context,
    propagation::TextMapCompositePropagator,
    trace::{SpanContext, TraceContextExt},
};
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

fn received<const N: usize>(headers: [(&'static str, &str); N]) -> Context {
    carrier::try_extract_with(&propagator(), &Headers::from_iter(headers)).unwrap()
}

fn span(cx: &Context) -> SpanContext {
    cx.span().span_context().clone()
}
