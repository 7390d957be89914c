use std::{
    any::type_name,
    fmt,
    pin::Pin,
    task::{self, Poll},
};

use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    call::{Call, EndOnUnwind},
    exchange::{Ending, Failure},
    messages::{Counted, Counter},
};
use crate::{Propagate, WithContext};

pin_project! {
    /// The body of a response: its polls and its drop run in the request's context, and end its span.
    #[must_use = "dropping the body unread abandons the response"]
    pub struct ResponseBody<B> {
        // Dropped first, and so inside of the span.
        #[pin]
        body: WithContext<Counted<B>>,
        call: Call,
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, call: Call, context: opentelemetry::Context) -> Self {
        let counter = call.response_counter();
        Self { body: Counted::new(body, counter).with_context(context), call }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data: AsRef<[u8]>>,
    B::Error: fmt::Display,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polling = EndOnUnwind::new(this.call);
        let poll = this.body.as_mut().poll_frame(task);
        // What the body says of its end and its error displays may panic, too.
        let ending = match &poll {
            Poll::Pending => None,
            Poll::Ready(None) => Some(Ending::Complete),
            Poll::Ready(Some(Err(error))) => Some(Ending::Failed(Failure::of(error))),
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream().then_some(Ending::Complete),
        };
        let call = polling.returned();
        if let Poll::Ready(Some(Ok(frame))) = &poll {
            call.frame(frame, frame.data_ref().map_or(0, |data| data.as_ref().len()));
        }
        if let Some(ending) = ending {
            call.end(ending);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl Failure {
    /// The `error.type` is the name of the error's type, the description what it displays.
    pub(super) fn of<E: fmt::Display>(error: &E) -> Self {
        Self::new(type_name::<E>(), error.to_string())
    }
}

pin_project! {
    /// The body of a request, whose polls and drop run in the request's context. Made by
    /// [`TraceLayer::request_body`](super::TraceLayer::request_body).
    pub struct RequestBody<B> {
        #[pin]
        body: WithContext<Counted<B>>,
    }
}

impl<B> RequestBody<B> {
    pub(super) fn new(body: B, counter: Option<Counter>, context: opentelemetry::Context) -> Self {
        Self { body: Counted::new(body, counter).with_context(context) }
    }
}

impl<B: Body<Data: AsRef<[u8]>>> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

/// Which body a request goes on with: [`AsItIs`] or [`Inside`].
///
/// It is sealed.
pub trait PrepareBody<B>: sealed::Sealed {
    /// The body that it goes on with.
    type Body;

    /// Gives the request that body; `inside` binds the one that it came with to the request's context.
    fn prepare(&self, request: Request<B>, inside: impl FnOnce(B) -> RequestBody<B>) -> Request<Self::Body>;
}

/// The request's body goes on as it came. This is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs;

/// The request's body goes on in the request's context, as the type that this function makes. Made by
/// [`TraceLayer::request_body`](super::TraceLayer::request_body).
#[derive(Clone, Copy)]
pub struct Inside<F>(pub(super) F);

impl<B> PrepareBody<B> for AsItIs {
    type Body = B;

    fn prepare(&self, request: Request<B>, _: impl FnOnce(B) -> RequestBody<B>) -> Request<B> {
        request
    }
}

impl<B, F, T> PrepareBody<B> for Inside<F>
where
    F: Fn(RequestBody<B>) -> T,
{
    type Body = T;

    fn prepare(&self, request: Request<B>, inside: impl FnOnce(B) -> RequestBody<B>) -> Request<T> {
        request.map(|body| self.0(inside(body)))
    }
}

impl<F> fmt::Debug for Inside<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inside").finish_non_exhaustive()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements `PrepareBody`")]
    pub trait Sealed {}

    impl Sealed for super::AsItIs {}
    impl<F> Sealed for super::Inside<F> {}
}
