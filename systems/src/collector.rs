use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use ctxhop::testing::TraceTree;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use tokio::{net::TcpListener, runtime};

use crate::otlp;

/// How many bytes an export has at most. axum's own limit is 2 MiB, which a batch of large spans exceeds.
const MAX_BATCH: usize = 64 << 20;

/// Takes in spans over OTLP, with HTTP and protobuf, on a thread of its own, for as long as the process lives. It keeps them in memory.
#[derive(Clone)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    spans: Mutex<Vec<(Resource, SpanData)>>,
    changed: Condvar,
}

impl Collector {
    /// Listens on this address.
    ///
    /// # Errors
    ///
    /// If it cannot.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let this = Self { address: listener.local_addr()?, shared: Arc::default() };
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .layer(DefaultBodyLimit::max(MAX_BATCH))
            .with_state(Arc::clone(&this.shared));
        thread::Builder::new().name("collector".to_owned()).spawn(move || {
            // It only returns with an error of the listener, and then exports fail, which the services report.
            let _ = runtime.block_on(async { axum::serve(listener, routes).await });
        })?;
        Ok(this)
    }

    /// What to set `OTEL_EXPORTER_OTLP_ENDPOINT` to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has come so far.
    pub fn spans(&self) -> Spans {
        Spans(self.lock().clone())
    }

    /// Waits until the condition holds for what has come, and returns that. It looks whenever something comes.
    ///
    /// # Panics
    ///
    /// When it does not hold within the limit. The message has the drawing.
    #[track_caller]
    pub fn wait_until(&self, limit: Duration, mut condition: impl FnMut(&Spans) -> bool) -> Spans {
        let start = Instant::now();
        loop {
            let seen = self.spans();
            if condition(&seen) {
                return seen;
            }
            let left = limit.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "the condition does not hold within {limit:?}:\n{}", seen.tree());
            let spans = self.lock();
            if spans.len() == seen.0.len() {
                drop(self.shared.changed.wait_timeout(spans, left));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Resource, SpanData)>> {
        self.shared.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    shared.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(otlp::spans(request));
    shared.changed.notify_all();
    StatusCode::OK
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("address", &self.address).field("spans", &self.lock().len()).finish()
    }
}

/// Spans, each with the resource that it is of.
#[derive(Clone, Debug)]
pub struct Spans(Vec<(Resource, SpanData)>);

impl Spans {
    /// As the forest that they form.
    pub fn tree(&self) -> TraceTree {
        TraceTree::with_resources(self.0.iter().cloned())
    }

    /// How many spans of this service have this name.
    pub fn count(&self, service: &str, name: &str) -> usize {
        self.of(service).filter(|span| span.name == name).count()
    }

    /// The spans of this service.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &SpanData> {
        let is = move |resource: &Resource| {
            resource.get(&"service.name".into()).is_some_and(|name| name.as_str() == service)
        };
        self.0.iter().filter(move |(resource, _)| is(resource)).map(|(_, span)| span)
    }
}
