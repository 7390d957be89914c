use ::tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinSet, LocalSet},
};

use crate::{Propagate, wrap};

/// Spawns of [`tokio::task::JoinSet`] that carry the context.
///
/// Each method panics as its original does: outside a runtime, or outside a [`LocalSet`] for `spawn_local`.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
/// use tokio::task::JoinSet;
///
/// # #[tokio::main] async fn main() {
/// let mut set = JoinSet::new();
/// for n in 0..3 {
///     let _guard = Context::current_with_value(n).attach();
///     set.spawn_with_current_context(async { Context::current().get::<i32>().copied() });
/// }
/// let mut seen = set.join_all().await;
/// seen.sort();
/// assert_eq!(seen, [Some(0), Some(1), Some(2)]);
/// # }
/// ```
pub trait JoinSetExt<T> {
    /// [`JoinSet::spawn`], with the context that is current now.
    fn spawn_with_current_context<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_on`], with the context that is current now.
    fn spawn_on_with_current_context<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_local`], with the context that is current now.
    fn spawn_local_with_current_context<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static;

    /// [`JoinSet::spawn_local_on`], with the context that is current now.
    fn spawn_local_on_with_current_context<F>(&mut self, task: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static;

    /// [`JoinSet::spawn_blocking`], with the context that is current now.
    fn spawn_blocking_with_current_context<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_blocking_on`], with the context that is current now.
    fn spawn_blocking_on_with_current_context<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send;
}

impl<T: 'static> JoinSetExt<T> for JoinSet<T> {
    #[track_caller]
    fn spawn_with_current_context<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn(task.with_current_context())
    }

    #[track_caller]
    fn spawn_on_with_current_context<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_on(task.with_current_context(), handle)
    }

    #[track_caller]
    fn spawn_local_with_current_context<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local(task.with_current_context())
    }

    #[track_caller]
    fn spawn_local_on_with_current_context<F>(&mut self, task: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local_on(task.with_current_context(), local_set)
    }

    #[track_caller]
    fn spawn_blocking_with_current_context<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking(wrap(f))
    }

    #[track_caller]
    fn spawn_blocking_on_with_current_context<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking_on(wrap(f), handle)
    }
}
