use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};
use std::time::SystemTime;

use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    global::{self, BoxedTracer},
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Link, Span, SpanBuilder, SpanKind, TraceContextExt, Tracer as _, TracerProvider},
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
    tracer: OnceLock<Arc<Tracer>>,
    metrics: OnceLock<Metrics>,
    propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
}

impl Telemetry {
    pub(super) fn set_tracer_provider<P>(&mut self, provider: &P)
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as opentelemetry::trace::Tracer>::Span: Send + Sync + 'static,
    {
        let tracer = BoxedTracer::new(Box::new(provider.tracer_with_scope(scope())));
        self.tracer = OnceLock::from(Arc::new(Tracer::new(tracer)));
    }

    pub(super) fn set_meter_provider(&mut self, provider: &dyn MeterProvider) {
        self.metrics = OnceLock::from(Metrics::new(&provider.meter_with_scope(scope())));
    }

    pub(super) fn set_propagator(&mut self, propagator: impl TextMapPropagator + Send + Sync + 'static) {
        self.propagator = Some(Arc::new(propagator));
    }

    pub(super) fn tracer(&self) -> &Tracer {
        self.tracer.get_or_init(|| Arc::new(Tracer::new(global::tracer_with_scope(scope()))))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| Metrics::new(&global::meter_with_scope(scope())))
    }

    pub(super) fn try_extract(&self, message: &impl Carrier) -> Result<Context, Rejected> {
        match &self.propagator {
            Some(propagator) => carrier::read_with(&**propagator, message),
            None => carrier::read(message),
        }
    }

    /// Takes the propagator's keys out of a message.
    pub(super) fn remove(&self, message: &mut impl Carrier) {
        let mut remove =
            |propagator: &dyn TextMapPropagator| propagator.fields().for_each(|field| message.remove(field));
        match &self.propagator {
            Some(propagator) => remove(&**propagator),
            None => global::get_text_map_propagator(remove),
        }
    }

    pub(super) fn inject(&self, cx: &Context, message: &mut impl Carrier) {
        match &self.propagator {
            Some(propagator) => carrier::inject_with(&**propagator, cx, message),
            None => carrier::inject(cx, message),
        };
    }
}

/// A tracer, and whether it has made a span so far.
pub(super) struct Tracer {
    tracer: BoxedTracer,
    /// The last time it made none: it is OpenTelemetry's no-op one, or its provider is shut down.
    silent: AtomicBool,
}

/// A span that was started, and whether it is one of its own.
pub(super) struct Started {
    /// With the span, if there is one.
    pub(super) context: Context,
    pub(super) own_span: bool,
    pub(super) recording: bool,
}

impl Tracer {
    const fn new(tracer: BoxedTracer) -> Self {
        Self { tracer, silent: AtomicBool::new(false) }
    }

    /// Whether it made no span the last time.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Starts a span in `base`. The attributes are not made for a tracer that makes no spans.
    ///
    /// Such a tracer is asked all the same, because it may make one after all. Then its sampler has seen no attributes and
    /// no links of this one span, but the span has them.
    pub(super) fn start(
        &self,
        name: String,
        kind: SpanKind,
        time: Option<SystemTime>,
        base: Context,
        links: Vec<Link>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Started {
        let silent = self.is_silent();
        // The builder is big, and its methods move it.
        let mut builder = SpanBuilder::from_name(name);
        builder.span_kind = Some(kind);
        builder.start_time = time;
        let late = if silent {
            Some((attributes, links))
        } else {
            builder.attributes = Some(attributes());
            builder.links = Some(links).filter(|links| !links.is_empty());
            None
        };
        let mut span = self.tracer.build_with_context(builder, &base);
        // A span that is none must not take the place of the outer one: the context would stop flowing. A no-op tracer's
        // span has the parent's span context.
        let own_span =
            span.span_context().is_valid() && span.span_context().span_id() != base.span().span_context().span_id();
        let recording = own_span && span.is_recording();
        if own_span == silent && !base.is_telemetry_suppressed() {
            self.silent.store(!own_span, Ordering::Relaxed);
        }
        if let Some((attributes, links)) = late.filter(|_| recording) {
            span.set_attributes(attributes());
            links.into_iter().for_each(|link| span.add_link(link.span_context, link.attributes));
        }
        Started { context: if own_span { base.with_span(span) } else { base }, own_span, recording }
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}
