use ::tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};
use opentelemetry::Context;

use crate::{
    Snapshot,
    hop::{Sealed, bind, job},
};

/// Spawns of [`tokio::runtime::Handle`] that carry a context.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// let runtime = tokio::runtime::Runtime::new().unwrap();
/// let handle = runtime.handle().clone();
///
/// let _guard = Context::current_with_value("here").attach();
/// let task = handle.spawn_with_current_context(async { Context::current().get::<&str>().copied() });
/// let blocking = handle.spawn_blocking_with_current_context(|| Context::current().get::<&str>().copied());
/// assert_eq!(runtime.block_on(task).unwrap(), Some("here"));
/// assert_eq!(runtime.block_on(blocking).unwrap(), Some("here"));
/// ```
pub trait HandleExt: Sealed {
    /// [`Handle::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F>(&self, context: S, future: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`Handle::spawn_blocking`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_blocking_with_context<S, F, R>(&self, context: S, f: F) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static;

    /// [`Handle::spawn`], with the context that is current now.
    #[track_caller]
    fn spawn_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with_context(Context::capture(), future)
    }

    /// [`Handle::spawn_blocking`], with the context that is current now.
    #[track_caller]
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_with_context(Context::capture(), f)
    }
}

impl Sealed for Handle {}

impl HandleExt for Handle {
    fn spawn_with_context<S, F>(&self, context: S, future: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(bind("Handle::spawn", future, context))
    }

    fn spawn_blocking_with_context<S, F, R>(&self, context: S, f: F) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking(job("Handle::spawn_blocking", context, f))
    }
}

/// Spawns of [`tokio::runtime::Runtime`] that carry a context.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// let runtime = tokio::runtime::Runtime::new().unwrap();
///
/// let _guard = Context::current_with_value("here").attach();
/// let task = runtime.spawn_with_current_context(async { Context::current().get::<&str>().copied() });
/// assert_eq!(runtime.block_on(task).unwrap(), Some("here"));
/// ```
pub trait RuntimeExt: Sealed {
    /// [`Runtime::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F>(&self, context: S, future: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`Runtime::spawn_blocking`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_blocking_with_context<S, F, R>(&self, context: S, f: F) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static;

    /// [`Runtime::spawn`], with the context that is current now.
    #[track_caller]
    fn spawn_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_with_context(Context::capture(), future)
    }

    /// [`Runtime::spawn_blocking`], with the context that is current now.
    #[track_caller]
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking_with_context(Context::capture(), f)
    }
}

impl Sealed for Runtime {}

impl RuntimeExt for Runtime {
    fn spawn_with_context<S, F>(&self, context: S, future: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle().spawn_with_context(context, future)
    }

    fn spawn_blocking_with_context<S, F, R>(&self, context: S, f: F) -> JoinHandle<R>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle().spawn_blocking_with_context(context, f)
    }
}
