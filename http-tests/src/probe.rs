//! Takes note of which span is current in a handler, in each poll of a body, and in each drop.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{self, Poll},
};

use bytes::Bytes;
use futures::Stream;
use http_body::{Body, Frame, SizeHint};
use opentelemetry::{
    Context,
    trace::{SpanId, TraceContextExt},
};

#[derive(Clone, Default)]
pub struct Probe(Arc<Mutex<Vec<(String, SpanId)>>>);

impl Probe {
    pub fn note(&self, place: impl Into<String>) {
        let current = Context::map_current(|cx| cx.span().span_context().span_id());
        self.0.lock().unwrap().push((place.into(), current));
    }

    /// Takes note when it is dropped.
    pub fn on_drop(&self, place: &str) -> OnDrop {
        OnDrop(self.clone(), place.to_owned())
    }

    pub fn notes(&self) -> Vec<(String, SpanId)> {
        self.0.lock().unwrap().clone()
    }
}

pub struct OnDrop(Probe, String);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.note(&self.1);
    }
}

/// What a stream of chunks ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Last {
    Nothing,
    Error,
    Panic,
    /// It never ends.
    Chunk,
}

/// Chunks that look where they are.
pub struct Chunks<T> {
    probe: Probe,
    left: u32,
    last: Last,
    next: Box<dyn FnMut() -> T + Send + Sync>,
    _drop: OnDrop,
}

impl<T> Chunks<T> {
    pub fn new(probe: &Probe, count: u32, last: Last, next: impl FnMut() -> T + Send + Sync + 'static) -> Self {
        Self { probe: probe.clone(), left: count, last, next: Box::new(next), _drop: probe.on_drop("drop of chunks") }
    }
}

impl<T> Stream for Chunks<T> {
    type Item = Result<T, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.probe.note("chunk");
        if self.left > 0 {
            self.left -= 1;
            return Poll::Ready(Some(Ok((self.next)())));
        }
        match self.last {
            Last::Nothing => Poll::Ready(None),
            Last::Error => Poll::Ready(Some(Err(std::io::Error::other("no more apples")))),
            Last::Panic => panic!("on purpose, in a body"),
            Last::Chunk => Poll::Ready(Some(Ok((self.next)()))),
        }
    }
}

pin_project_lite::pin_project! {
    /// A body that is looked at from inside of a client's layer.
    pub struct Probed<B> {
        #[pin]
        body: B,
        probe: Probe,
        _drop: OnDrop,
    }
}

impl<B> Probed<B> {
    pub fn new(body: B, probe: &Probe) -> Self {
        Self { body, probe: probe.clone(), _drop: probe.on_drop("client: drop of body") }
    }
}

impl<B: Body<Data = Bytes>> Body for Probed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        this.probe.note("client: frame");
        this.body.poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
