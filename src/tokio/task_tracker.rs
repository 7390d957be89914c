use ::tokio::{
    runtime::Handle,
    task::{JoinHandle, LocalSet},
};
use tokio_util::task::TaskTracker;

use crate::{Propagate, wrap};

/// Spawns of [`tokio_util::task::TaskTracker`] that carry the context.
///
/// Each method panics as its original does: outside a runtime, or outside a [`LocalSet`] for `spawn_local`. For
/// [`TaskTracker::track_future`], bind the context by hand: `tracker.track_future(fut.with_current_context())`.
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
pub trait TaskTrackerExt {
    /// [`TaskTracker::spawn`], with the context that is current now.
    fn spawn_with_current_context<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`TaskTracker::spawn_on`], with the context that is current now.
    fn spawn_on_with_current_context<F>(&self, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`TaskTracker::spawn_local`], with the context that is current now.
    fn spawn_local_with_current_context<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;

    /// [`TaskTracker::spawn_local_on`], with the context that is current now.
    fn spawn_local_on_with_current_context<F>(&self, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;

    /// [`TaskTracker::spawn_blocking`], with the context that is current now.
    fn spawn_blocking_with_current_context<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// [`TaskTracker::spawn_blocking_on`], with the context that is current now.
    fn spawn_blocking_on_with_current_context<F, T>(&self, f: F, handle: &Handle) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;
}

impl TaskTrackerExt for TaskTracker {
    #[track_caller]
    fn spawn_with_current_context<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(task.with_current_context())
    }

    #[track_caller]
    fn spawn_on_with_current_context<F>(&self, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on(task.with_current_context(), handle)
    }

    #[track_caller]
    fn spawn_local_with_current_context<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local(task.with_current_context())
    }

    #[track_caller]
    fn spawn_local_on_with_current_context<F>(&self, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_on(task.with_current_context(), local_set)
    }

    #[track_caller]
    fn spawn_blocking_with_current_context<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_blocking(wrap(f))
    }

    #[track_caller]
    fn spawn_blocking_on_with_current_context<F, T>(&self, f: F, handle: &Handle) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_blocking_on(wrap(f), handle)
    }
}
