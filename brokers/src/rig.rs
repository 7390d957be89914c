//! What a test records, and destinations that are recorded there.

use ctxhop::{
    messaging::Destination,
    propagation::TraceContextPropagator,
    testing::{TraceRecorder, TraceTree},
};
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry_sdk::propagation::BaggagePropagator;

/// A recorder of its own.
#[derive(Default)]
pub struct Rig {
    /// What records the spans.
    pub recorder: TraceRecorder,
}

impl Rig {
    /// Nothing is recorded yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A destination that is recorded here, with trace context and baggage in its messages.
    pub fn destination(&self, system: &'static str, name: &str) -> Destination {
        Destination::new(system, name).with_tracer_provider(self.recorder.provider()).with_propagator(propagator())
    }

    /// What is recorded, as a drawing without durations.
    pub fn drawing(&self) -> String {
        self.tree().display().durations(false).to_string()
    }

    /// What is recorded.
    pub fn tree(&self) -> TraceTree {
        self.recorder.tree()
    }
}

/// Trace context and baggage.
pub fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}
