//! [`crate::tokio`]'s functions and methods, with the current [`TracingSnapshot`].
//!
//! Each has a twin in [`crate::tokio`], whose docs say the rest: panics, and what it guarantees.

use ::tokio::{
    runtime::{Handle, Runtime},
    task::{AbortHandle, JoinHandle, JoinSet, LocalSet},
};
#[cfg(feature = "tokio-util")]
use tokio_util::task::TaskTracker;

use super::TracingSnapshot;
pub use crate::tokio::{spawn_blocking_with_context, spawn_local_with_context, spawn_with_context};
use crate::{Snapshot, tokio};

/// [`tokio::spawn`](::tokio::spawn), with the current [`TracingSnapshot`].
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_with_context(TracingSnapshot::capture(), future)
}

/// [`tokio::spawn`](::tokio::spawn), with [`TracingSnapshot::none`]: the task sees no span and no context of the request
/// that started it, and keeps none of its spans open.
///
/// On a current-thread runtime, a task is polled inside whatever span is entered around `block_on`. This one is not: it
/// sees no span there either.
///
/// # Examples
///
/// ```
/// use tracing::{Span, info_span};
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let _request = info_span!("request").entered();
/// let saw_no_span = runtime.block_on(async {
///     ctxhop::tracing::tokio::spawn_detached(async { Span::current().is_none() }).await.unwrap()
/// });
/// assert!(saw_no_span);
/// ```
#[track_caller]
pub fn spawn_detached<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_with_context(TracingSnapshot::none(), future)
}

/// [`tokio::spawn`](::tokio::spawn), with the [`parent_only`](TracingSnapshot::parent_only) part of the current
/// [`TracingSnapshot`]: what the task does belongs to the current trace, but the task keeps no span open.
#[track_caller]
pub fn spawn_parent_only<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_with_context(TracingSnapshot::capture().parent_only(), future)
}

/// [`tokio::task::spawn_blocking`](::tokio::task::spawn_blocking), with the current [`TracingSnapshot`].
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    spawn_blocking_with_context(TracingSnapshot::capture(), f)
}

/// [`tokio::task::spawn_local`](::tokio::task::spawn_local), with the current [`TracingSnapshot`].
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_local_with_context(TracingSnapshot::capture(), future)
}

/// Spawns of [`tokio::task::JoinSet`](JoinSet) that carry the current [`TracingSnapshot`].
///
/// # Examples
///
/// ```
/// use ctxhop::tracing::prelude::*;
/// use tokio::task::JoinSet;
/// use tracing::{Span, info_span};
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
/// let mut set = JoinSet::new();
/// info_span!("order").in_scope(|| {
///     set.spawn_with_current_span(async { Span::current().metadata().map(|span| span.name()) });
/// });
/// assert_eq!(set.join_all().await, [Some("order")]);
/// # }
/// ```
pub trait JoinSetExt<T>: tokio::JoinSetExt<T> {
    /// [`JoinSet::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_with_context(TracingSnapshot::capture(), task)
    }

    /// [`JoinSet::spawn_on`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_on_with_current_span<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_on_with_context(TracingSnapshot::capture(), task, handle)
    }

    /// [`JoinSet::spawn_local`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_local_with_current_span<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local_with_context(TracingSnapshot::capture(), task)
    }

    /// [`JoinSet::spawn_local_on`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_local_on_with_current_span<F>(&mut self, task: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.spawn_local_on_with_context(TracingSnapshot::capture(), task, local_set)
    }

    /// [`JoinSet::spawn_blocking`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_blocking_with_current_span<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking_with_context(TracingSnapshot::capture(), f)
    }

    /// [`JoinSet::spawn_blocking_on`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_blocking_on_with_current_span<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.spawn_blocking_on_with_context(TracingSnapshot::capture(), f, handle)
    }
}

impl<T: 'static> JoinSetExt<T> for JoinSet<T> {}

/// Spawns of [`tokio::runtime::Handle`](Handle) that carry the current [`TracingSnapshot`].
pub trait HandleExt: tokio::HandleExt {
    /// [`Handle::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with_context(TracingSnapshot::capture(), future)
    }

    /// [`Handle::spawn_blocking`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_blocking_with_current_span<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_with_context(TracingSnapshot::capture(), f)
    }
}

impl HandleExt for Handle {}

/// Spawns of [`tokio::runtime::Runtime`](Runtime) that carry the current [`TracingSnapshot`].
pub trait RuntimeExt: tokio::RuntimeExt {
    /// [`Runtime::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with_context(TracingSnapshot::capture(), future)
    }

    /// [`Runtime::spawn_blocking`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_blocking_with_current_span<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_with_context(TracingSnapshot::capture(), f)
    }
}

impl RuntimeExt for Runtime {}

/// Spawns of [`tokio::task::LocalSet`](LocalSet) that carry the current [`TracingSnapshot`].
pub trait LocalSetExt: tokio::LocalSetExt {
    /// [`LocalSet::spawn_local`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_local_with_current_span<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_with_context(TracingSnapshot::capture(), future)
    }
}

impl LocalSetExt for LocalSet {}

/// Spawns of [`tokio_util::task::TaskTracker`] that carry the current [`TracingSnapshot`].
#[cfg(feature = "tokio-util")]
pub trait TaskTrackerExt: tokio::TaskTrackerExt {
    /// [`TaskTracker::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with_context(TracingSnapshot::capture(), task)
    }

    /// [`TaskTracker::spawn_on`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_on_with_current_span<F>(&self, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_on_with_context(TracingSnapshot::capture(), task, handle)
    }

    /// [`TaskTracker::spawn_local`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_local_with_current_span<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_with_context(TracingSnapshot::capture(), task)
    }

    /// [`TaskTracker::spawn_local_on`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_local_on_with_current_span<F>(&self, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_on_with_context(TracingSnapshot::capture(), task, local_set)
    }

    /// [`TaskTracker::spawn_blocking`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_blocking_with_current_span<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_with_context(TracingSnapshot::capture(), f)
    }

    /// [`TaskTracker::spawn_blocking_on`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_blocking_on_with_current_span<F, R>(&self, f: F, handle: &Handle) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_on_with_context(TracingSnapshot::capture(), f, handle)
    }
}

#[cfg(feature = "tokio-util")]
impl TaskTrackerExt for TaskTracker {}
