//! What a test records, and destinations that are recorded there.

use ctxhop::{
    messaging::Destination,
    propagation::TraceContextPropagator,
    testing::{TraceRecorder, TraceTree},
};
use opentelemetry::{Value, propagation::TextMapCompositePropagator};
use opentelemetry_sdk::{propagation::BaggagePropagator, trace::SpanData};

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

    /// The spans of this name, in the order of their starts.
    pub fn spans(&self, name: &str) -> Vec<SpanData> {
        let mut spans: Vec<_> = self.recorder.spans().into_iter().filter(|span| span.name == name).collect();
        spans.sort_by_key(|span| span.start_time);
        spans
    }

    /// No span has an attribute twice.
    ///
    /// # Panics
    ///
    /// If one has.
    pub fn assert_no_attribute_twice(&self) {
        for span in self.recorder.spans() {
            let mut keys: Vec<_> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
            keys.sort();
            assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "an attribute is there twice: {keys:?}");
        }
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

/// The value of a span's attribute, if it has it.
pub fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|attribute| attribute.value.clone())
}

/// Trace context and baggage.
pub fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}
