//! Where the spans go: in memory, to be drawn, and over OTLP, if asked to.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ctxhop::testing::TraceRecorder;
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt, TraceId},
};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample,
        SpanData, SpanExporter,
    },
};

use crate::{complain, pipeline::ATTEMPTS};

/// The spans of which each line of the input has one. The others are below these, or have lost their way.
const PER_LINE: [&str; 2] = ["parse", "notification"];

const OTLP_ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

pub(crate) struct Telemetry {
    pub(crate) recorder: TraceRecorder,
    pub(crate) sampler: KeepFirst,
    #[cfg(feature = "strict")]
    pub(crate) strict: Option<ctxhop::strict::Strict>,
}

impl Telemetry {
    /// Installs the global tracer provider, which keeps the spans of the first `keep` notifications; and strict mode, if asked
    /// to.
    #[cfg_attr(not(feature = "strict"), expect(unused_variables, reason = "main has refused it"))]
    pub(crate) fn install(keep: u32, strict: bool) -> Self {
        let sampler = KeepFirst { keep, seen: Arc::default() };
        let mut provider = SdkTracerProvider::builder()
            .with_sampler(sampler.clone())
            .with_resource(Resource::builder().with_service_name("notifications").build());
        if OTLP_ENDPOINTS.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())) {
            match otlp(keep) {
                Ok(processor) => provider = provider.with_span_processor(processor),
                Err(error) => complain(format_args!("no export over OTLP: {error}")),
            }
        }
        #[cfg(feature = "strict")]
        let strict = strict.then(|| ctxhop::strict::install(ctxhop::strict::Config::new()));
        #[cfg(feature = "strict")]
        if let Some(strict) = strict {
            provider = provider.with_span_processor(strict.processor());
        }
        let recorder = TraceRecorder::with_provider(provider);
        recorder.install_global();
        Self {
            recorder,
            sampler,
            #[cfg(feature = "strict")]
            strict,
        }
    }

    /// Exports what is not exported yet.
    pub(crate) fn finish(&self) {
        if let Err(error) = self.recorder.provider().shutdown_with_timeout(Duration::from_secs(30)) {
            complain(format_args!("export over OTLP: {error}"));
        }
    }
}

fn otlp(keep: u32) -> Result<BatchSpanProcessor, ExporterBuildError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
    // Room for all spans that are kept: a queue that overflows drops spans, and a trace with holes looks disconnected.
    let names = 15;
    let config = BatchConfigBuilder::default().with_max_queue_size((keep * RETRIED) as usize * names).build();
    Ok(BatchSpanProcessor::builder(Reporting(exporter)).with_batch_config(config).build())
}

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
