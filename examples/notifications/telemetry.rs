//! Where the spans of each service go: in memory, to be drawn, and over OTLP, if asked to.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use ctxhop::testing::TraceRecorder;
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, Status, TraceContextExt, TraceId, Tracer, TracerProvider},
};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider,
        ShouldSample, SpanData, SpanExporter,
    },
};

use crate::{complain, worker::ATTEMPTS};

/// The spans of which each line of the input has one. The others are below these, or have lost their way.
const PER_LINE: [&str; 2] = ["parse", "notification"];

const OTLP_ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// A part of the pipeline that can be a process of its own. Its spans tell it, whether it is one or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Reads the notifications, and publishes them
    Batch,
    /// Renders each, and has it delivered
    Worker,
    /// Delivers
    Notify,
}

/// Where a service's spans go.
pub(crate) struct OfService {
    pub(crate) provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// In the order of the services. Set once, at the start.
static SERVICES: OnceLock<Vec<OfService>> = OnceLock::new();

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Worker => "worker",
            Self::Notify => "notify",
        }
    }

    pub(crate) fn telemetry(self) -> &'static OfService {
        &SERVICES.get().expect("installed at the start")[self as usize]
    }

    /// The current context with a new span, which ends when the last clone of this is dropped.
    pub(crate) fn span(self, name: &'static str) -> Context {
        Context::current_with_span(self.telemetry().tracer.start(name))
    }
}

/// Marks the current span as failed.
pub(crate) fn fail(reason: &str) {
    Context::map_current(|cx| cx.span().set_status(Status::error(reason.to_owned())));
}

pub(crate) struct Telemetry {
    pub(crate) recorder: TraceRecorder,
    pub(crate) sampler: KeepFirst,
    #[cfg(feature = "strict")]
    pub(crate) strict: Option<ctxhop::strict::Strict>,
}

impl Telemetry {
    /// Installs the services' tracer providers, which keep the spans of the first `keep` notifications; and strict mode, if asked
    /// to. `only`: the one that is in this process, if not all of them are; then nothing is drawn, or kept in memory.
    #[cfg_attr(not(feature = "strict"), expect(unused_variables, reason = "main has refused it"))]
    pub(crate) fn install(only: Option<Service>, keep: u32, strict: bool) -> Self {
        let this = Self {
            recorder: TraceRecorder::new(),
            sampler: KeepFirst { keep, seen: Arc::default() },
            #[cfg(feature = "strict")]
            strict: strict.then(|| ctxhop::strict::install(ctxhop::strict::Config::new())),
        };
        let services = Service::value_variants().iter().map(|&service| {
            let provider = this.provider(service, only);
            OfService { tracer: provider.tracer("notifications"), provider }
        });
        assert!(SERVICES.set(services.collect()).is_ok(), "installed once");
        this
    }

    fn provider(&self, service: Service, only: Option<Service>) -> SdkTracerProvider {
        let mut builder = SdkTracerProvider::builder()
            .with_sampler(self.sampler.clone())
            .with_resource(Resource::builder().with_service_name(service.name()).build());
        let is_here = only.is_none_or(|only| only == service);
        if is_here && OTLP_ENDPOINTS.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())) {
            match otlp(self.sampler.keep) {
                Ok(processor) => builder = builder.with_span_processor(processor),
                Err(error) => complain(format_args!("no export over OTLP: {error}")),
            }
        }
        #[cfg(feature = "strict")]
        if let Some(strict) = self.strict {
            builder = builder.with_span_processor(strict.processor());
        }
        match only {
            None => self.recorder.add_provider(builder).provider().clone(),
            Some(_) => builder.build(),
        }
    }

    /// Exports what is not exported yet.
    pub(crate) fn finish(&self) {
        for service in Service::value_variants() {
            if let Err(error) = service.telemetry().provider.shutdown_with_timeout(Duration::from_secs(30)) {
                complain(format_args!("export over OTLP: {error}"));
            }
        }
    }
}

fn otlp(keep: u32) -> Result<BatchSpanProcessor, ExporterBuildError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    // Room for all spans that are kept: a queue that overflows drops spans, and a trace with holes looks disconnected. But the SDK
    // allocates all of the queue at once, so beyond MAX_QUEUE the exports have to keep up.
    let names = 10;
    let spans = ((keep * RETRIED) as usize * names).min(MAX_QUEUE);
    let config = BatchConfigBuilder::default().with_max_queue_size(spans).build();
    Ok(BatchSpanProcessor::builder(Reporting(exporter)).with_batch_config(config).build())
}

/// How many spans wait for their export at most.
const MAX_QUEUE: usize = 1 << 16;

/// Tells of exports that fail, which the SDK only logs.
#[derive(Debug)]
struct Reporting<E>(E);

impl<E: SpanExporter> SpanExporter for Reporting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.0.export(batch).await;
        if let Err(error) = &result {
            complain(format_args!("{count} spans are not exported: {error}"));
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

/// How many spans of one name a notification can have: one for each attempt.
const RETRIED: u32 = ATTEMPTS as u32;

/// Keeps the first `keep` notifications, and drops the others with all below them: a span under a dropped one is dropped
/// too. So memory is bounded, and what is kept is whole, with all that it caused.
///
/// It also counts traces. A sampler is asked about every span, and so it counts the dropped ones as well.
#[derive(Clone, Debug)]
pub(crate) struct KeepFirst {
    keep: u32,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    traces: AtomicU64,
    kept: Mutex<HashMap<String, u32>>,
}

impl KeepFirst {
    /// How many spans had no parent.
    pub(crate) fn traces(&self) -> u64 {
        self.seen.traces.load(Ordering::Relaxed)
    }

    fn has_room(&self, name: &str) -> bool {
        let keep = if PER_LINE.contains(&name) { self.keep } else { self.keep * RETRIED };
        let mut kept = self.seen.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get_mut(name) {
            Some(count) if *count == keep => return false,
            Some(count) => *count += 1,
            None => _ = kept.insert(name.to_owned(), 1),
        }
        true
    }
}

impl ShouldSample for KeepFirst {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        name: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|cx| cx.span().span_context().clone()).filter(|parent| parent.is_valid());
        if parent.is_none() {
            self.seen.traces.fetch_add(1, Ordering::Relaxed);
        }
        let keep = parent.as_ref().is_none_or(|parent| parent.is_sampled()) && self.has_room(name);
        SamplingResult {
            decision: if keep { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: parent.map(|parent| parent.trace_state().clone()).unwrap_or_default(),
        }
    }
}
