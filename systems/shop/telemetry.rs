//! A tracer provider for each service, as each has where it is a process of its own. Their spans go to a picture at the end, and
//! over OTLP, if asked to.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ctxhop::testing::{TraceRecorder, TraceTree};
use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingDecision, SamplingResult, SdkTracerProvider,
        ShouldSample,
    },
};

use crate::{Service, complain};

const OTLP_ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

pub(crate) struct Telemetry {
    keep: KeepFirst,
    /// None where nothing is drawn: then nothing is kept in memory.
    recorder: Option<TraceRecorder>,
    providers: Vec<SdkTracerProvider>,
}

impl Telemetry {
    /// `keep`: how many checkouts are traced.
    pub(crate) fn new(keep: u64, draws: bool) -> Self {
        let keep = KeepFirst { keep, seen: Arc::default() };
        Self { keep, recorder: draws.then(TraceRecorder::new), providers: Vec::new() }
    }

    /// A provider whose spans say which service they are of.
    pub(crate) fn provider(&mut self, service: Service) -> SdkTracerProvider {
        let mut builder = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(self.keep.clone())))
            .with_resource(Resource::builder().with_service_name(service.name()).build());
        if OTLP_ENDPOINTS.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty())) {
            match SpanExporter::builder().with_http().build() {
                Ok(exporter) => builder = builder.with_span_processor(self.batches(exporter)),
                Err(error) => complain(format_args!("no export over OTLP: {error}")),
            }
        }
        let provider = match &self.recorder {
            None => builder.build(),
            Some(recorder) => recorder.add_provider(builder).provider().clone(),
        };
        self.providers.push(provider.clone());
        provider
    }

    /// With room for all spans that are kept: a queue that overflows drops spans, and a trace with holes looks disconnected. But the
    /// SDK allocates all of the queue at once, so beyond [`MAX_QUEUE`] the exports have to keep up.
    fn batches(&self, exporter: SpanExporter) -> BatchSpanProcessor {
        let spans = usize::try_from(self.keep.keep).unwrap_or(usize::MAX).saturating_mul(SPANS);
        let spans = spans.clamp(2048, MAX_QUEUE);
        let config = BatchConfigBuilder::default().with_max_queue_size(spans).build();
        BatchSpanProcessor::builder(exporter).with_batch_config(config).build()
    }

    /// Exports what is not exported yet.
    pub(crate) fn finish(&self) {
        for provider in &self.providers {
            if let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(30)) {
                complain(format_args!("export over OTLP: {error}"));
            }
        }
    }

    /// How many of the traces that started here are not kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.keep.seen.load(Ordering::Relaxed).saturating_sub(self.keep.keep)
    }

    /// The spans of all services together, if they are kept.
    pub(crate) fn tree(&self) -> Option<TraceTree> {
        self.recorder.as_ref().map(TraceRecorder::tree)
    }
}

/// How many spans a checkout has in one service at most.
const SPANS: usize = 8;

/// How many spans of a service wait for their export at most.
const MAX_QUEUE: usize = 1 << 16;

/// Samples the first traces that start here. In traces that start elsewhere nobody asks it.
#[derive(Clone, Debug)]
struct KeepFirst {
    keep: u64,
    seen: Arc<AtomicU64>,
}

impl ShouldSample for KeepFirst {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let keep = self.seen.fetch_add(1, Ordering::Relaxed) < self.keep;
        let decision = if keep { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state: Default::default() }
    }
}
