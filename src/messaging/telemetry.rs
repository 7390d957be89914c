use std::sync::{Arc, OnceLock};

use opentelemetry::{
    Context, InstrumentationScope,
    global::{self, BoxedTracer},
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Tracer, TracerProvider},
};

use super::metrics::Metrics;
use crate::{
    carrier::{self, Carrier, Rejected},
    conventions::SCHEMA_URL,
};

/// Where spans and metrics go, and what reads and writes headers: the global ones, unless others are set.
///
/// The global tracer and instruments are looked up once, at the first use.
#[derive(Clone, Default)]
pub(super) struct Telemetry {
    tracer: OnceLock<Arc<BoxedTracer>>,
    metrics: OnceLock<Metrics>,
    propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
}

impl Telemetry {
    pub(super) fn set_tracer_provider<P>(&mut self, provider: &P)
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as Tracer>::Span: Send + Sync + 'static,
    {
        let tracer = BoxedTracer::new(Box::new(provider.tracer_with_scope(scope())));
        self.tracer = OnceLock::from(Arc::new(tracer));
    }

    pub(super) fn set_meter_provider(&mut self, provider: &dyn MeterProvider) {
        self.metrics = OnceLock::from(Metrics::new(&provider.meter_with_scope(scope())));
    }

    pub(super) fn set_propagator(&mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) {
        self.propagator = Some(Arc::new(propagator));
    }

    pub(super) fn tracer(&self) -> &BoxedTracer {
        self.tracer.get_or_init(|| Arc::new(global::tracer_with_scope(scope())))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| Metrics::new(&global::meter_with_scope(scope())))
    }

    pub(super) fn try_extract(&self, message: &impl Carrier) -> Result<Context, Rejected> {
        match &self.propagator {
            Some(propagator) => carrier::try_extract_with(&**propagator, message),
            None => carrier::try_extract(message),
        }
    }

    pub(super) fn inject(&self, cx: &Context, message: &mut impl Carrier) {
        match &self.propagator {
            Some(propagator) => carrier::inject_with(&**propagator, cx, message),
            None => carrier::inject(cx, message),
        };
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}
