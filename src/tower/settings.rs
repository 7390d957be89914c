use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use http::{Extensions, HeaderMap, HeaderName};
use opentelemetry::{
    Context, InstrumentationScope, StringValue,
    global::{self, BoxedTracer},
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Tracer, TracerProvider},
};

use super::{Messages, metrics::Metrics, side::Side};
use crate::{
    BaggagePolicy, Trust,
    carrier::{self, Limited, Rejected},
    conventions::SCHEMA_URL,
};

/// Half of what hyper's HTTP/2 servers, tonic's among them, and many others take by default in all.
const HEADER_BYTES: usize = 8 * 1024;

pub(super) type Route = dyn Fn(&Extensions) -> Option<&str> + Send + Sync;

/// What a layer was told, shared by its services and their requests.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) side: Side,
    pub(super) trust: Trust,
    pub(super) baggage: BaggagePolicy,
    pub(super) route: Option<Arc<Route>>,
    pub(super) trace_id_header: Option<HeaderName>,
    pub(super) server: Option<(StringValue, Option<u16>)>,
    pub(super) request_headers: Arc<[HeaderName]>,
    pub(super) response_headers: Arc<[HeaderName]>,
    /// The conventions' list, if `None`.
    pub(super) http_methods: Option<Arc<[String]>>,
    /// Any, if `None`.
    pub(super) rpc_methods: Option<Arc<[String]>>,
    pub(super) messages: Messages,
    /// What is added to a request, names and values.
    pub(super) header_bytes: usize,
    pub(super) tracer: OnceLock<Arc<BoxedTracer>>,
    pub(super) metrics: OnceLock<Metrics>,
    /// The global one, if `None`.
    pub(super) propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
}

impl Settings {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            trust: Trust::default(),
            baggage: BaggagePolicy::default(),
            route: None,
            trace_id_header: None,
            server: None,
            request_headers: Arc::default(),
            response_headers: Arc::default(),
            http_methods: None,
            rpc_methods: None,
            messages: Messages::default(),
            header_bytes: HEADER_BYTES,
            tracer: OnceLock::new(),
            metrics: OnceLock::new(),
            propagator: None,
        }
    }

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
        self.metrics = OnceLock::from(Metrics::new(self.side, &provider.meter_with_scope(scope())));
    }

    pub(super) fn tracer(&self) -> &BoxedTracer {
        self.tracer.get_or_init(|| Arc::new(global::tracer_with_scope(scope())))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| Metrics::new(self.side, &global::meter_with_scope(scope())))
    }

    pub(super) fn extract(&self, headers: &HeaderMap) -> Result<Context, Rejected> {
        match &self.propagator {
            Some(propagator) => carrier::try_extract_with(&**propagator, headers),
            None => carrier::try_extract(headers),
        }
    }

    pub(super) fn inject(&self, cx: &Context, headers: &mut HeaderMap) {
        let mut headers = Limited::new(headers).total_bytes(self.header_bytes);
        match &self.propagator {
            Some(propagator) => carrier::inject_with(&**propagator, cx, &mut headers),
            None => carrier::inject(cx, &mut headers),
        };
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("side", &self.side)
            .field("trust", &self.trust)
            .field("baggage", &self.baggage)
            .finish_non_exhaustive()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}
