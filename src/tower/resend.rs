use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::task::{self, Poll};

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

/// Counts how often a request is sent, for `http.request.resend_count`: put it outside of what sends again.
///
/// A retry or a redirect makes a new request for each attempt, and a [`TraceLayer`](super::TraceLayer) inside of it makes a
/// span for each. All attempts share the request's extensions, in which this layer puts a counter.
///
/// A client that sends again by itself, as reqwest does for redirects, does so inside of the one span.
///
/// # Examples
///
/// ```
/// use ctxhop::tower::{ResendLayer, TraceLayer};
/// use tower_layer::Layer;
///
/// # #[derive(Clone)] struct Client;
/// # fn retry<S>(service: S) -> S { service }
/// let client = ResendLayer::new().layer(retry(TraceLayer::client().layer(Client)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ResendLayer {
    _private: (),
}

impl ResendLayer {
    /// The layer. It has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for ResendLayer {
    type Service = Resend<S>;

    fn layer(&self, inner: S) -> Resend<S> {
        Resend { inner }
    }
}

/// The service of [`ResendLayer`].
#[derive(Clone, Debug)]
pub struct Resend<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Resend<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(Attempts::default());
        self.inner.call(request)
    }
}

/// How many times the request and its clones have been sent.
#[derive(Clone, Default)]
struct Attempts(Arc<AtomicU32>);

/// How often the request was sent before. Counts this time.
pub(super) fn count(extensions: &Extensions) -> u32 {
    extensions.get::<Attempts>().map_or(0, |attempts| attempts.0.fetch_add(1, Ordering::Relaxed))
}
