use std::{
    borrow::Cow,
    fmt,
    future::poll_fn,
    panic::Location,
    time::{Duration, Instant},
};

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanLimits, TracerProviderBuilder},
};

use super::{TraceTree, store::Store};

/// A tracer provider that keeps its spans in memory.
///
/// Use it in tests, one recorder each. It sets no global, so tests run in parallel and do not see each other's spans.
/// Code that takes its tracer from the global provider needs [`install_global`](Self::install_global).
///
/// # Guarantees
///
/// - A span is in [`spans`](Self::spans) as soon as it has ended, on whatever thread, also inside an executor and while
///   a panic unwinds: there is no batch, no flush and no blocking.
/// - Until then it is in [`open_spans`](Self::open_spans). A context that holds it keeps it open.
///   [`wait_until`](Self::wait_until) waits for spans that end later.
/// - Clones share the spans, as do the recorders that [`service`](Self::service) makes.
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
    store: Store,
}

impl TraceRecorder {
    /// A recorder of every span, whatever sampler and limits the `OTEL_*` environment variables ask for.
    ///
    /// The limits are the SDK's defaults: a span keeps its first 128 attributes, events and links.
    #[must_use]
    pub fn new() -> Self {
        Self::with_provider(record_all())
    }

    /// Records the spans of a provider that you configure, beside whatever else that provider does with them.
    ///
    /// Use it for samplers, id generators, limits and exporters. Spans that the sampler does not sample are not kept.
    /// The builder takes from the `OTEL_*` environment variables all that you do not set.
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
        Self::with_store(builder, Store::default())
    }

    fn with_store(builder: TracerProviderBuilder, store: Store) -> Self {
        Self { provider: builder.with_span_processor(store.processor()).build(), store }
    }

    /// A recorder for a service of this name, which shares its spans with this one.
    ///
    /// Use it for a system of several services in one process: each service takes its tracers from a recorder of its
    /// own, and any of the recorders shows the spans of all. [`TraceNode::service`](super::TraceNode::service) tells
    /// whose a span is, and [`TraceTree::services`] which service calls which.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// let recorder = TraceRecorder::new();
    /// let shop = recorder.service("shop").tracer("shop");
    /// let stock = recorder.service("stock").tracer("stock");
    /// shop.in_span("order", |_| stock.in_span("reserve", |_| {}));
    ///
    /// let tree = recorder.tree();
    /// assert_eq!(tree.find("reserve").unwrap().service(), "stock");
    /// assert_eq!(tree.services().to_string(), "[shop] → [stock]");
    /// ```
    #[must_use]
    pub fn service(&self, name: &str) -> Self {
        self.add_provider(record_all().with_resource(Resource::builder().with_service_name(name.to_owned()).build()))
    }

    /// A recorder of the spans of another provider, which shares its spans with this one.
    ///
    /// Use it as [`service`](Self::service), where a service needs more than a name: a resource, a sampler, an exporter
    /// of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::{KeyValue, trace::Tracer};
    /// use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    ///
    /// let resource = Resource::builder()
    ///     .with_service_name("stock")
    ///     .with_attribute(KeyValue::new("service.version", "2.1"))
    ///     .build();
    ///
    /// let recorder = TraceRecorder::new();
    /// let stock = recorder.add_provider(SdkTracerProvider::builder().with_resource(resource.clone()));
    /// stock.tracer("stock").in_span("reserve", |_| {});
    /// assert_eq!(recorder.tree().roots()[0].resource(), Some(&resource));
    /// ```
    #[must_use]
    pub fn add_provider(&self, builder: TracerProviderBuilder) -> Self {
        Self::with_store(builder, self.store.clone())
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
    /// It affects the whole process, so all tests of a binary: give a test that calls it a binary of its own.
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
        self.store.finished()
    }

    /// The spans that have started and not ended, in the order in which they started.
    ///
    /// Use it to find what keeps a span open: a test that asserts that there is none catches a long-lived task that
    /// carries a request's context. Each span is as it was when it started: its name and attributes may have changed
    /// since, and its end is not known.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{prelude::*, testing::TraceRecorder};
    /// use opentelemetry::{Context, trace::{TraceContextExt, Tracer}};
    ///
    /// let recorder = TraceRecorder::new();
    /// let request = Context::new().with_span(recorder.tracer("shop").start("request"));
    /// let callback = request.wrap_fn(|_: i32| {}); // holds the request's span until the callback goes
    /// assert_eq!(recorder.open_spans()[0].name, "request");
    ///
    /// drop(callback);
    /// assert!(recorder.open_spans().is_empty());
    /// ```
    #[must_use]
    pub fn open_spans(&self) -> Vec<SpanData> {
        self.store.open()
    }

    /// Forgets the spans finished so far, for all clones.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// The tree, or forest, that the spans finished so far form.
    #[must_use]
    pub fn tree(&self) -> TraceTree {
        self.store.tree()
    }

    /// Blocks this thread until the condition holds, and returns the tree in which it holds.
    ///
    /// Use it where spans end later than the work that the test can wait for: a server ends its span after its client
    /// has the response. It looks at the tree now, and again whenever a span starts or ends; it does not poll. The
    /// usual condition is `|tree| tree.open_spans().is_empty()`, or `|tree| tree.find("ship").is_some()` for a span
    /// that may not have started yet.
    ///
    /// # Panics
    ///
    /// When the condition does not hold within the limit. The message holds the drawing, and the spans still open.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    ///
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// let recorder = TraceRecorder::new();
    /// let tracer = recorder.tracer("shop");
    /// thread::spawn(move || tracer.in_span("ship", |_| {}));
    /// let tree = recorder.wait_until(Duration::from_secs(10), |tree| tree.find("ship").is_some());
    /// tree.assert_single_trace();
    /// ```
    #[track_caller]
    pub fn wait_until(&self, limit: Duration, condition: impl FnMut(&TraceTree) -> bool) -> TraceTree {
        self.store.wait(limit, condition).unwrap_or_else(|tree| out_of_time(limit, &tree, None))
    }

    /// Waits, without blocking the thread, until the condition holds, and returns the tree in which it holds.
    ///
    /// Use it as [`wait_until`](Self::wait_until), in asynchronous tests. It works on any executor: a thread of its own
    /// keeps the limit, in real time, also where the executor's clock is paused. The limit begins with the first poll.
    ///
    /// # Panics
    ///
    /// When the condition does not hold within the limit. The message holds the drawing, the spans still open and the
    /// place of this call.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time; that ends its thread, too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let recorder = TraceRecorder::new();
    /// let span = recorder.tracer("shop").start("ship");
    /// tokio::spawn(async move { drop(span) });
    /// let tree = recorder.wait_until_async(Duration::from_secs(10), |tree| tree.open_spans().is_empty()).await;
    /// tree.assert_single_trace();
    /// # }
    /// ```
    #[track_caller]
    pub fn wait_until_async<F>(&self, limit: Duration, mut condition: F) -> impl Future<Output = TraceTree> + use<F>
    where
        F: FnMut(&TraceTree) -> bool,
    {
        let caller = Location::caller();
        let store = self.store.clone();
        async move {
            let start = Instant::now();
            let _timer = store.timer(limit);
            let waited = poll_fn(|task| store.poll(start, limit, &mut condition, task.waker())).await;
            waited.unwrap_or_else(|tree| out_of_time(limit, &tree, Some(caller)))
        }
    }
}

fn record_all() -> TracerProviderBuilder {
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_span_limits(SpanLimits::default())
}

#[track_caller]
fn out_of_time(limit: Duration, tree: &TraceTree, caller: Option<&Location<'_>>) -> ! {
    let place = caller.map(|caller| format!(" (waited for at {caller})")).unwrap_or_default();
    panic!("the condition does not hold within {limit:?}{place}:\n{}", tree.with_open_spans())
}

impl Default for TraceRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TraceRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceRecorder").field("spans", &self.store).finish_non_exhaustive()
    }
}
