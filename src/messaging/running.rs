use std::{
    fmt,
    pin::Pin,
    task::{self, Poll},
};

use opentelemetry::Context;
use pin_project_lite::pin_project;

use super::{
    Report,
    classify::{ByType, Classify},
    span::{Open, panicked},
};
use crate::{RunAsync, Snapshot};

pin_project! {
    /// The future of [`Operation::run_async`](super::Operation::run_async).
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<M, F, C = ByType> {
        // Dropped first, and so inside of the span.
        #[pin]
        work: RunAsync<M, F, Context>,
        open: Open,
        classify: Option<C>,
    }
}

impl<M, F, C> Running<M, F, C>
where
    M: FnOnce() -> F,
    F: Future,
{
    pub(super) fn new(open: Open, f: M, classify: C) -> Self {
        let work = open.context.clone().run_async(f);
        Self { work, open, classify: Some(classify) }
    }
}

impl<M, F, C> Future for Running<M, F, C>
where
    M: FnOnce() -> F,
    F: Future,
    C: Classify<F::Output>,
{
    type Output = F::Output;

    /// # Panics
    ///
    /// With the future's own panic, after the span has ended; and when polled again after it was ready.
    #[track_caller]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut polling = EndOnUnwind { open: this.open, returned: false };
        let poll = this.work.poll(task);
        if let Poll::Ready(outcome) = &poll {
            let classify = this.classify.take().expect("there until the work is ready");
            Report::conclude(polling.open, outcome, classify);
        }
        polling.returned = true;
        poll
    }
}

impl<M, F, C> fmt::Debug for Running<M, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt("Running", f)
    }
}

/// A future that has panicked may stay around for long; its span does not.
struct EndOnUnwind<'a> {
    open: &'a mut Open,
    returned: bool,
}

impl Drop for EndOnUnwind<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.open.end(Some(panicked()));
        }
    }
}
