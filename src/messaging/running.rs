use std::{
    fmt,
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::{
    Report,
    classify::{ByType, Classify},
    span::{Open, panicked},
};
use crate::{Propagate, WithContext};

pin_project! {
    /// The future of [`Operation::run_async`](super::Operation::run_async).
    #[must_use = "futures do nothing unless polled"]
    pub struct Running<M, F, C = ByType> {
        // Dropped first, and so inside of the span.
        #[pin]
        work: WithContext<Work<M, F>>,
        open: Open,
        classify: Option<C>,
    }
}

impl<M, F, C> Running<M, F, C> {
    pub(super) fn new(open: Open, f: M, classify: C) -> Self {
        let work = Work::Make { f: Some(f) }.with_context(open.context.clone());
        Self { work, open, classify: Some(classify) }
    }
}

pin_project! {
    /// A future, and before its first poll what makes it: so that both need the context attached only once.
    #[project = WorkProjection]
    enum Work<M, F> {
        Make { f: Option<M> },
        Poll { #[pin] future: F },
    }
}

impl<M, F> Future for Work<M, F>
where
    M: FnOnce() -> F,
    F: Future,
{
    type Output = F::Output;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        if let WorkProjection::Make { f } = self.as_mut().project() {
            let f = f.take().expect("an operation that has panicked was polled again");
            self.set(Self::Poll { future: f() });
        }
        match self.project() {
            WorkProjection::Poll { future } => future.poll(task),
            WorkProjection::Make { .. } => unreachable!("the future was made above"),
        }
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
