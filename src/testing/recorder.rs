use std::{
    borrow::Cow,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry::{Context, global, trace::TracerProvider};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor, TracerProviderBuilder},
};

use super::TraceTree;

/// A tracer provider that keeps its finished spans in memory.
///
/// Use it in tests, one recorder each: it sets no global, and so tests run in parallel without seeing each other's
/// spans. Code that takes its tracer from the global provider needs [`install_global`](Self::install_global).
///
/// # Guarantees
///
/// - A span is there as soon as it has ended, on whatever thread, also inside an executor and while a panic unwinds:
///   there is no batch, no flush and no blocking.
/// - A span that has not ended is not there: drop the context that holds it first.
/// - Clones share the spans.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::trace::Tracer;
///
/// let recorder = TraceRecorder::new();
/// recorder.tracer("shop").in_span("order", |_| {});
/// assert_eq!(recorder.spans()[0].name, "order");
/// ```
#[derive(Clone)]
pub struct TraceRecorder {
    provider: SdkTracerProvider,
    finished: Finished,
}

impl TraceRecorder {
    /// A recorder of every span, whatever sampler and limits the `OTEL_*` environment variables ask for.
    ///
    /// The limits are the SDK's defaults: a span keeps its first 128 attributes, events and links.
    #[must_use]
    pub fn new() -> Self {
        let builder = SdkTracerProvider::builder();
        Self::with_provider(builder.with_sampler(Sampler::AlwaysOn).with_span_limits(SpanLimits::default()))
    }

    /// Records the spans of a provider of your own making, next to what else it does with them.
    ///
    /// Use it for samplers, id generators, limits and exporters. Spans that the sampler does not sample are not kept.
    /// The builder takes what it is not told from the `OTEL_*` environment variables.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    /// use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    ///
    /// let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff));
    /// recorder.tracer("shop").in_span("order", |_| {});
    /// assert!(recorder.spans().is_empty());
    /// ```
    #[must_use]
    pub fn with_provider(builder: TracerProviderBuilder) -> Self {
        let finished = Finished::default();
        Self { provider: builder.with_span_processor(finished.clone()).build(), finished }
    }

    /// A tracer whose spans are recorded here.
    pub fn tracer(&self, name: impl Into<Cow<'static, str>>) -> SdkTracer {
        self.provider.tracer(name)
    }

    /// The provider itself, for code that takes one.
    #[must_use]
    pub const fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }

    /// Makes this the global tracer provider.
    ///
    /// It affects the whole process, all tests of a binary among it: give a test that calls it a binary of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::{global, trace::Tracer};
    ///
    /// let recorder = TraceRecorder::new();
    /// recorder.install_global();
    /// global::tracer("shop").in_span("order", |_| {});
    /// assert_eq!(recorder.spans().len(), 1);
    /// ```
    pub fn install_global(&self) {
        global::set_tracer_provider(self.provider.clone());
    }

    /// The spans finished so far, in the order in which they ended.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanData> {
        self.finished.lock().clone()
    }

    /// Forgets the spans finished so far, for all clones.
    pub fn clear(&self) {
        let spans = mem::take(&mut *self.finished.lock());
        drop(spans);
    }

    /// The tree, or forest, that the spans finished so far form.
    #[must_use]
    pub fn tree(&self) -> TraceTree {
        TraceTree::new(self.spans())
    }
}

impl Default for TraceRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TraceRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceRecorder").field("finished", &self.finished).finish_non_exhaustive()
    }
}

/// A processor rather than an exporter: the SDK's simple processor blocks on its exporter, which panics when a span
/// ends inside `futures::executor::block_on`, and its batching one has to be flushed.
#[derive(Clone, Default)]
struct Finished(Arc<Mutex<Vec<SpanData>>>);

impl Finished {
    /// A list of spans is whole at any time, and so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Vec<SpanData>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanProcessor for Finished {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.lock().push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} spans", self.lock().len())
    }
}
