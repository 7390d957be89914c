use std::{
    fmt,
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::{Snapshot, carried::Carried};

pin_project! {
    /// The future of [`Snapshot::run_async`] and [`WithContext::run_async`](crate::WithContext::run_async): at its first
    /// poll it calls the closure, and then it polls the closure's future, all in the snapshot.
    ///
    /// It is [`Send`] when the closure, its future and the snapshot are.
    #[must_use = "futures do nothing unless polled"]
    pub struct RunAsync<M, F, S>
    where
        S: Snapshot,
    {
        #[pin]
        work: Carried<Work<M, F>, S>,
    }
}

impl<M, F, S: Snapshot> RunAsync<M, F, S> {
    #[track_caller]
    pub(super) fn new(f: M, snapshot: S) -> Self {
        Self { work: Carried::new("run_async", Work::Make { f: Some(f) }, snapshot) }
    }
}

impl<M, F, S> Future for RunAsync<M, F, S>
where
    M: FnOnce() -> F,
    F: Future,
    S: Snapshot,
{
    type Output = F::Output;

    /// # Panics
    ///
    /// With the panic of the closure or its future; and when polled again after it was ready.
    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        self.project().work.poll(task)
    }
}

impl<M, F, S: Snapshot> fmt::Debug for RunAsync<M, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAsync").finish_non_exhaustive()
    }
}

pin_project! {
    /// A future, and before its first poll the closure that makes it: so one attach does for both.
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
            let f = f.take().expect("`run_async` was polled after its closure had panicked");
            self.set(Self::Poll { future: f() });
        }
        match self.project() {
            WorkProjection::Poll { future } => future.poll(task),
            WorkProjection::Make { .. } => unreachable!("the future was made above"),
        }
    }
}
