//! Who is compared, and what makes a request's context current in each one's way.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ctxhop::{messaging::Destination, propagation::TraceContextPropagator};
use fastrace::collector::{Config, Reporter, SpanContext as FastraceContext, SpanRecord};
use opentelemetry::{
    Context,
    trace::{
        TraceContextExt, Tracer, TracerProvider,
        noop::{NoopTracer, NoopTracerProvider},
    },
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanProcessor},
};
use serde::{Deserialize, Serialize};
use tracing::{Subscriber, span};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context as LayerContext, SubscriberExt},
};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Competitor {
    Bare,
    ByHand,
    /// As the twin is written: by hand, with all that ctxhop gives. Its headers are written by the SDK's propagator.
    TwinOfSdk,
    /// The same, with ctxhop's propagator.
    Twin,
    Ctxhop,
    OpenTelemetry,
    Tracing,
    TracingOpenTelemetry,
    Fastrace,
    Dcontext,
    TaskLocal,
}

impl Competitor {
    pub(crate) const ALL: [Self; 11] = [
        Self::Bare,
        Self::ByHand,
        Self::TwinOfSdk,
        Self::Twin,
        Self::Ctxhop,
        Self::OpenTelemetry,
        Self::Tracing,
        Self::TracingOpenTelemetry,
        Self::Fastrace,
        Self::Dcontext,
        Self::TaskLocal,
    ];

    /// What is current in a request, in the competitor's way, while `f` runs.
    pub(crate) fn in_request(self, f: &mut dyn FnMut()) {
        match self {
            Self::Bare => f(),
            Self::ByHand | Self::TwinOfSdk | Self::Twin | Self::Ctxhop | Self::OpenTelemetry => {
                let _guard = request_context().attach();
                f();
            }
            Self::Tracing => tracing::info_span!("request").in_scope(f),
            Self::TracingOpenTelemetry => {
                EXPORTING.store(true, Relaxed);
                tracing::info_span!("request").in_scope(f);
                EXPORTING.store(false, Relaxed);
            }
            Self::Fastrace => {
                let request = fastrace::Span::root("request", FastraceContext::random());
                let _guard = request.set_local_parent();
                f();
            }
            Self::Dcontext => {
                dcontext::set_context_variable(REQUEST_ID, RequestId(7));
                f();
                dcontext::clear();
            }
            Self::TaskLocal => REQUEST.sync_scope(RequestId(7), f),
        }
    }
}

impl fmt::Display for Competitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::ByHand => "by hand",
            Self::TwinOfSdk => "by hand, the same",
            Self::Twin => "… our propagator",
            Self::Ctxhop => "ctxhop",
            Self::OpenTelemetry => "opentelemetry",
            Self::Tracing => "tracing",
            Self::TracingOpenTelemetry => "tracing + layer",
            Self::Fastrace => "fastrace",
            Self::Dcontext => "dcontext",
            Self::TaskLocal => "task_local!",
        })
    }
}

/// A span that records, and a value.
pub(crate) fn request_context() -> Context {
    Context::new().with_value(RequestId(7)).with_span(TRACER.start("request"))
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RequestId(u64);

pub(crate) const REQUEST_ID: &str = "request_id";

tokio::task_local! {
    pub(crate) static REQUEST: RequestId;
}

pub(crate) static PROVIDER: LazyLock<SdkTracerProvider> =
    LazyLock::new(|| SdkTracerProvider::builder().with_span_processor(Discard).build());

pub(crate) static TRACER: LazyLock<SdkTracer> = LazyLock::new(|| PROVIDER.tracer("compare"));

/// The queue of all that publish with ctxhop; made once, as one does.
pub(crate) static ORDERS: LazyLock<Destination> = LazyLock::new(|| {
    let orders = Destination::in_memory("orders");
    orders.with_tracer_provider(&*PROVIDER).with_propagator(TraceContextPropagator::new())
});

/// As [`PROVIDER`], of which nothing is sampled.
static UNSAMPLED: LazyLock<SdkTracerProvider> = LazyLock::new(|| {
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).with_span_processor(Discard).build()
});

pub(crate) static UNSAMPLED_TRACER: LazyLock<SdkTracer> = LazyLock::new(|| UNSAMPLED.tracer("compare"));

pub(crate) static UNSAMPLED_ORDERS: LazyLock<Destination> =
    LazyLock::new(|| ORDERS.clone().with_tracer_provider(&*UNSAMPLED));

pub(crate) static NOOP_TRACER: LazyLock<NoopTracer> = LazyLock::new(NoopTracer::new);

pub(crate) static NOOP_ORDERS: LazyLock<Destination> =
    LazyLock::new(|| ORDERS.clone().with_tracer_provider(&NoopTracerProvider::new()));

/// Whether spans of `tracing` go on to OpenTelemetry.
static EXPORTING: AtomicBool = AtomicBool::new(false);

/// What an application installs when it starts.
pub(crate) fn install() {
    let layer = OpenTelemetryLayer::new(PROVIDER.tracer("tracing"));
    tracing::subscriber::set_global_default(Registry::default().with(Switched(layer))).expect("the first one");
    fastrace::set_reporter(Discard, Config::default());
    let mut registry = dcontext::RegistryBuilder::new();
    registry.register::<RequestId>(REQUEST_ID);
    dcontext::initialize(registry);
}

/// Spans are made and ended, and go nowhere.
#[derive(Debug)]
struct Discard;

impl SpanProcessor for Discard {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Reporter for Discard {
    fn report(&mut self, _: Vec<SpanRecord>) {}
}

/// A layer that can be switched off, as a process has one subscriber, and two competitors differ by the layer alone.
struct Switched<L>(L);

impl<S, L> Layer<S> for Switched<L>
where
    S: Subscriber,
    L: Layer<S>,
{
    fn on_layer(&mut self, subscriber: &mut S) {
        self.0.on_layer(subscriber);
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, cx: LayerContext<'_, S>) {
        if EXPORTING.load(Relaxed) {
            self.0.on_new_span(attributes, id, cx);
        }
    }

    fn on_enter(&self, id: &span::Id, cx: LayerContext<'_, S>) {
        if EXPORTING.load(Relaxed) {
            self.0.on_enter(id, cx);
        }
    }

    fn on_exit(&self, id: &span::Id, cx: LayerContext<'_, S>) {
        if EXPORTING.load(Relaxed) {
            self.0.on_exit(id, cx);
        }
    }

    fn on_close(&self, id: span::Id, cx: LayerContext<'_, S>) {
        if EXPORTING.load(Relaxed) {
            self.0.on_close(id, cx);
        }
    }
}

/// Headers as one writes them by hand.
pub(crate) type Pairs = HashMap<String, String>;
