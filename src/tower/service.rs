use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::{AsItIs, PrepareBody, RequestBody, ResponseBody},
    call::{Call, EndOnUnwind},
    exchange::Failure,
    settings::Settings,
};
use crate::{Propagate, Snapshot, WithContext};

/// The service of a [`TraceLayer`](super::TraceLayer).
#[derive(Clone, Debug)]
pub struct Trace<S, R = AsItIs> {
    pub(super) inner: S,
    pub(super) settings: Arc<Settings>,
    pub(super) request_body: R,
}

impl<S, R, B, T> Service<Request<B>> for Trace<S, R>
where
    R: PrepareBody<B>,
    S: Service<Request<R::Body>, Response = Response<T>>,
    S::Error: fmt::Display,
    T: Body<Data: AsRef<[u8]>>,
    T::Error: fmt::Display,
{
    type Response = Response<ResponseBody<T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    /// In the caller's context: there is no request yet.
    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    /// # Panics
    ///
    /// With the panic of the service or of the function of [`request_body`](super::TraceLayer::request_body), after the span
    /// has ended.
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut call = Call::start(&self.settings, &mut request);
        let context = call.context().clone();
        let counter = call.request_counter();
        let calling = EndOnUnwind::new(&mut call);
        let request = self.request_body.prepare(request, |body| RequestBody::new(body, counter, context.clone()));
        let work = context.run(|| self.inner.call(request));
        calling.returned();
        ResponseFuture { work: work.with_context(context), call: Some(call) }
    }
}

pin_project! {
    /// The future of a [`Trace`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // Dropped first, and so inside of the span.
        #[pin]
        work: WithContext<F>,
        // `None` once it is the body's.
        call: Option<Call>,
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<T>, E>>,
    T: Body<Data: AsRef<[u8]>>,
    T::Error: fmt::Display,
    E: fmt::Display,
{
    type Output = Result<Response<ResponseBody<T>>, E>;

    /// # Panics
    ///
    /// With the service's own panic, after the span has ended; and when polled again after it was ready.
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polling = EndOnUnwind::new(this.call.as_mut().expect("`ResponseFuture` polled after completion"));
        let outcome = this.work.poll(task);
        polling.returned();
        let outcome = ready!(outcome);
        let mut call = this.call.take().expect("it was there before the poll");
        let mut response = outcome.inspect_err(|error| call.fail(Failure::of(error)))?;
        let context = call.context().clone();
        call.respond(&mut response);
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, call, context))))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
