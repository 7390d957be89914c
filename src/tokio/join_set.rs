use ::tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinSet, LocalSet},
};
use opentelemetry::Context;

use crate::{
    Snapshot,
    hop::{Sealed, bind, job},
};

/// Spawns of [`tokio::task::JoinSet`] that carry a context.
///
/// `iter.collect::<JoinSet<_>>()` spawns too: give it futures that are bound, `iter.map(|fut| fut.with_current_context())`.
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
/// use tokio::task::JoinSet;
///
/// # #[tokio::main] async fn main() {
/// let mut set = JoinSet::new();
/// for n in 0..3 {
///     let _guard = Context::current_with_value(n).attach();
///     set.spawn_with_current_context(async { Context::current().get::<i32>().copied() });
/// }
/// set.spawn_with_context(Context::new(), async { Context::current().get::<i32>().copied() });
/// let mut seen = set.join_all().await;
/// seen.sort();
/// assert_eq!(seen, [None, Some(0), Some(1), Some(2)]);
/// # }
/// ```
pub trait JoinSetExt<T>: Sealed {
    /// [`JoinSet::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F>(&mut self, context: S, task: F) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_on`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_on_with_context<S, F>(&mut self, context: S, task: F, handle: &Handle) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_local`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_local_with_context<S, F>(&mut self, context: S, task: F) -> AbortHandle
    where
        S: Snapshot + 'static,
        F: Future<Output = T> + 'static;

    /// [`JoinSet::spawn_local_on`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_local_on_with_context<S, F>(&mut self, context: S, task: F, local_set: &LocalSet) -> AbortHandle
    where
        S: Snapshot + 'static,
        F: Future<Output = T> + 'static;

    /// [`JoinSet::spawn_blocking`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_blocking_with_context<S, F>(&mut self, context: S, f: F) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> T + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn_blocking_on`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_blocking_on_with_context<S, F>(&mut self, context: S, f: F, handle: &Handle) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> T + Send + 'static,
        T: Send;

    /// [`JoinSet::spawn`], with the context that is current now.
    #[track_caller]
    fn spawn_with_current_context<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_with_context(Context::capture(), task)
    }

    /// [`JoinSet::spawn_on`], with the context that is current now.
    #[track_caller]
    fn spawn_on_with_current_context<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_on_with_context(Context::capture(), task, handle)
    }

    /// [`JoinSet::spawn_local`], with the context that is current now.
    #[track_caller]
    fn spawn_local_with_current_context<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local_with_context(Context::capture(), task)
    }

    /// [`JoinSet::spawn_local_on`], with the context that is current now.
    #[track_caller]
    fn spawn_local_on_with_current_context<F>(&mut self, task: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local_on_with_context(Context::capture(), task, local_set)
    }

    /// [`JoinSet::spawn_blocking`], with the context that is current now.
    #[track_caller]
    fn spawn_blocking_with_current_context<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking_with_context(Context::capture(), f)
    }

    /// [`JoinSet::spawn_blocking_on`], with the context that is current now.
    #[track_caller]
    fn spawn_blocking_on_with_current_context<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking_on_with_context(Context::capture(), f, handle)
    }
}

impl<T> Sealed for JoinSet<T> {}

impl<T: 'static> JoinSetExt<T> for JoinSet<T> {
    fn spawn_with_context<S, F>(&mut self, context: S, task: F) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn(bind("JoinSet::spawn", task, context))
    }

    fn spawn_on_with_context<S, F>(&mut self, context: S, task: F, handle: &Handle) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_on(bind("JoinSet::spawn_on", task, context), handle)
    }

    fn spawn_local_with_context<S, F>(&mut self, context: S, task: F) -> AbortHandle
    where
        S: Snapshot + 'static,
        F: Future<Output = T> + 'static,
    {
        self.spawn_local(bind("JoinSet::spawn_local", task, context))
    }

    fn spawn_local_on_with_context<S, F>(&mut self, context: S, task: F, local_set: &LocalSet) -> AbortHandle
    where
        S: Snapshot + 'static,
        F: Future<Output = T> + 'static,
    {
        self.spawn_local_on(bind("JoinSet::spawn_local_on", task, context), local_set)
    }

    fn spawn_blocking_with_context<S, F>(&mut self, context: S, f: F) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking(job("JoinSet::spawn_blocking", context, f))
    }

    fn spawn_blocking_on_with_context<S, F>(&mut self, context: S, f: F, handle: &Handle) -> AbortHandle
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking_on(job("JoinSet::spawn_blocking_on", context, f), handle)
    }
}
