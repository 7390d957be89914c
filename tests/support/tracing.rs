//! A real subscriber (registry, OpenTelemetry layer, a layer that notes log events) and a view of what is current.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of what is public here")]

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use ctxhop::testing::TraceRecorder;
use opentelemetry::{
    Context,
    trace::{SpanId, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{
    Dispatch, Event, Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer, Registry,
    layer::{self, SubscriberExt},
    registry::LookupSpan,
};

/// The span and the OpenTelemetry span that are current; both, as the two ought to be one.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub span: Option<&'static str>,
    pub otel: Option<SpanId>,
}

impl Seen {
    /// What one sees in `span`, when all is well.
    pub fn of(span: &Span) -> Self {
        Self {
            span: span.metadata().map(|span| span.name()),
            otel: valid(span.context().span().span_context().span_id()),
        }
    }

    pub const NOTHING: Self = Self { span: None, otel: None };

    pub fn now() -> Self {
        let otel = Context::map_current(|cx| cx.span().span_context().span_id());
        Self { span: Span::current().metadata().map(|span| span.name()), otel: valid(otel) }
    }
}

fn valid(id: SpanId) -> Option<SpanId> {
    Some(id).filter(|id| *id != SpanId::INVALID)
}

/// A subscriber as services have it, and what it has recorded.
#[derive(Clone)]
pub struct Rig {
    pub recorder: TraceRecorder,
    pub log: Log,
}

impl Rig {
    pub fn new() -> Self {
        Self { recorder: TraceRecorder::new(), log: Log::default() }
    }

    pub fn tracer(&self) -> SdkTracer {
        self.recorder.tracer("test")
    }

    /// Registry, log and OpenTelemetry layer.
    pub fn subscriber(&self) -> impl Subscriber + for<'a> LookupSpan<'a> + Send + Sync + use<> {
        let otel = tracing_opentelemetry::layer().with_tracer(self.tracer());
        Registry::default().with(self.log.clone()).with(otel)
    }

    pub fn dispatch(&self) -> Dispatch {
        Dispatch::new(self.subscriber())
    }

    /// A child of what is current by each of the two APIs, and a log event.
    pub fn work(&self) {
        tracing::info_span!("by tracing").in_scope(|| ());
        drop(self.tracer().start("by opentelemetry"));
        tracing::info!("inside");
    }
}

/// What a layer that writes logs would write: for each event its message and the spans that it is in, the outermost first,
/// with their fields.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Fields(String);

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 += &format!("{value:?}");
        } else {
            self.0 += &format!(" {}={value:?}", field.name());
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: layer::Context<'_, S>) {
        let mut line = Line(attributes.metadata().name().to_owned());
        attributes.record(&mut line);
        cx.span(id).unwrap().extensions_mut().insert(Fields(line.0));
    }

    fn on_event(&self, event: &Event<'_>, cx: layer::Context<'_, S>) {
        let mut line = Line::default();
        for span in cx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            // A layer's filter may have kept the span from it.
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.0 += &format!("{}: ", fields.0);
            }
        }
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}
