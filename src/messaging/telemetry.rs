use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, global,
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{self, Link, Span, SpanBuilder, SpanKind, TraceContextExt, TracerProvider},
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
        self.tracer = OnceLock::from(Arc::new(Tracer::new(provider.tracer_with_scope(scope()))));
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

/// A tracer, and what it made of the last span.
pub(super) struct Tracer {
    tracer: Box<dyn AnyTracer>,
    /// The last time it made none: it is OpenTelemetry's no-op one, or its provider is shut down.
    silent: AtomicBool,
    /// The last time it made one that records.
    records: AtomicBool,
}

/// A span that was started, and is one of its own.
pub(super) struct Started {
    /// With the span.
    pub(super) context: Context,
    pub(super) recording: bool,
}

impl Tracer {
    fn new(tracer: impl AnyTracer + 'static) -> Self {
        Self { tracer: Box::new(tracer), silent: AtomicBool::new(false), records: AtomicBool::new(true) }
    }

    /// Whether its last span recorded, so that the next one is likely to.
    pub(super) fn records(&self) -> bool {
        self.records.load(Ordering::Relaxed)
    }

    /// Starts a span in `base`; `None` if the tracer makes none. The attributes are not made for a tracer that makes no spans.
    ///
    /// Such a tracer is asked all the same, because it may make one after all. Then its sampler has seen no attributes and
    /// no links of this one span, but the span has them.
    #[inline]
    pub(super) fn start(
        &self,
        name: Cow<'static, str>,
        kind: SpanKind,
        time: Option<SystemTime>,
        base: &Context,
        links: Vec<Link>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Option<Started> {
        let silent = self.silent.load(Ordering::Relaxed);
        // The builder is big. Its methods would move it, and so would one that is begun for both cases.
        let started = if silent {
            let builder = SpanBuilder { name, span_kind: Some(kind), start_time: time, ..SpanBuilder::default() };
            let started = self.tracer.start(builder, base);
            if let Some(started) = started.as_ref().filter(|started| started.recording) {
                let span = started.context.span();
                span.set_attributes(attributes());
                links.into_iter().for_each(|link| span.add_link(link.span_context, link.attributes));
            }
            started
        } else {
            let builder = SpanBuilder {
                name,
                span_kind: Some(kind),
                start_time: time,
                attributes: Some(attributes()),
                links: Some(links).filter(|links| !links.is_empty()),
                ..SpanBuilder::default()
            };
            self.tracer.start(builder, base)
        };
        let (own_span, recording) = started.as_ref().map_or((false, false), |started| (true, started.recording));
        if (own_span == silent || recording != self.records()) && !base.is_telemetry_suppressed() {
            self.silent.store(!own_span, Ordering::Relaxed);
            self.records.store(recording, Ordering::Relaxed);
        }
        started
    }
}

/// Any type of tracer. OpenTelemetry's `BoxedTracer` would do, but it puts each span into a box, and a context puts that
/// into another one.
trait AnyTracer: Send + Sync {
    /// `None` if the span is none of its own.
    fn start(&self, builder: SpanBuilder, base: &Context) -> Option<Started>;
}

impl<T> AnyTracer for T
where
    T: trace::Tracer + Send + Sync,
    T::Span: Send + Sync + 'static,
{
    fn start(&self, builder: SpanBuilder, base: &Context) -> Option<Started> {
        let span = self.build_with_context(builder, base);
        let span_context = span.span_context();
        // A span that is none must not take the place of the outer one: the context would stop flowing. A no-op tracer's
        // span has the parent's span context.
        if !span_context.is_valid() || span_context.span_id() == base.span().span_context().span_id() {
            return None;
        }
        let recording = span.is_recording();
        // Where nothing is recorded, the identity is all that there is of a span.
        let context =
            if recording { base.with_span(span) } else { base.with_remote_span_context(span_context.clone()) };
        Some(Started { context, recording })
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}
