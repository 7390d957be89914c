use ::tokio::{
    runtime::Handle,
    task::{JoinHandle, LocalSet},
};
use opentelemetry::Context;
use tokio_util::task::TaskTracker;

use crate::{
    Snapshot,
    hop::{Sealed, bind, job},
};

/// Spawns of [`tokio_util::task::TaskTracker`] that carry a context.
///
/// For [`TaskTracker::track_future`], bind the future: `tracker.track_future(fut.with_current_context())`.
///
/// # Panics
///
/// Each method panics as its original does: outside a runtime, or outside a [`LocalSet`] for `spawn_local`.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
/// use tokio_util::task::TaskTracker;
///
/// # #[tokio::main] async fn main() {
/// let tracker = TaskTracker::new();
/// let task = {
///     let _guard = Context::current_with_value("here").attach();
///     tracker.spawn_with_current_context(async { Context::current().get::<&str>().copied() })
/// };
/// tracker.close();
/// tracker.wait().await;
/// assert_eq!(task.await.unwrap(), Some("here"));
/// # }
/// ```
pub trait TaskTrackerExt: Sealed {
    /// [`TaskTracker::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F>(&self, context: S, task: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`TaskTracker::spawn_on`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_on_with_context<S, F>(&self, context: S, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`TaskTracker::spawn_local`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_local_with_context<S, F>(&self, context: S, task: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + 'static,
        F: Future + 'static,
        F::Output: 'static;

    /// [`TaskTracker::spawn_local_on`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_local_on_with_context<S, F>(&self, context: S, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        S: Snapshot + 'static,
        F: Future + 'static,
        F::Output: 'static;

    /// [`TaskTracker::spawn_blocking`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_blocking_with_context<S, F, R>(&self, context: S, f: F) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static;

    /// [`TaskTracker::spawn_blocking_on`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_blocking_on_with_context<S, F, R>(&self, context: S, f: F, handle: &Handle) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static;

    /// [`TaskTracker::spawn`], with the context that is current now.
    #[track_caller]
    fn spawn_with_current_context<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with_context(Context::capture(), task)
    }

    /// [`TaskTracker::spawn_on`], with the context that is current now.
    #[track_caller]
    fn spawn_on_with_current_context<F>(&self, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on_with_context(Context::capture(), task, handle)
    }

    /// [`TaskTracker::spawn_local`], with the context that is current now.
    #[track_caller]
    fn spawn_local_with_current_context<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_with_context(Context::capture(), task)
    }

    /// [`TaskTracker::spawn_local_on`], with the context that is current now.
    #[track_caller]
    fn spawn_local_on_with_current_context<F>(&self, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_on_with_context(Context::capture(), task, local_set)
    }

    /// [`TaskTracker::spawn_blocking`], with the context that is current now.
    #[track_caller]
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_with_context(Context::capture(), f)
    }

    /// [`TaskTracker::spawn_blocking_on`], with the context that is current now.
    #[track_caller]
    fn spawn_blocking_on_with_current_context<F, R>(&self, f: F, handle: &Handle) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_on_with_context(Context::capture(), f, handle)
    }
}

impl Sealed for TaskTracker {}

impl TaskTrackerExt for TaskTracker {
    fn spawn_with_context<S, F>(&self, context: S, task: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(bind("TaskTracker::spawn", task, context))
    }

    fn spawn_on_with_context<S, F>(&self, context: S, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(bind("TaskTracker::spawn_on", task, context), handle)
    }

    fn spawn_local_with_context<S, F>(&self, context: S, task: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local(bind("TaskTracker::spawn_local", task, context))
    }

    fn spawn_local_on_with_context<S, F>(&self, context: S, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        S: Snapshot + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_on(bind("TaskTracker::spawn_local_on", task, context), local_set)
    }

    fn spawn_blocking_with_context<S, F, R>(&self, context: S, f: F) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking(job("TaskTracker::spawn_blocking", context, f))
    }

    fn spawn_blocking_on_with_context<S, F, R>(&self, context: S, f: F, handle: &Handle) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_on(job("TaskTracker::spawn_blocking_on", context, f), handle)
    }
}
