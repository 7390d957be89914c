use ::tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};

use crate::{Propagate, wrap};

/// Spawns of [`tokio::runtime::Handle`] that carry the context.
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
pub trait HandleExt {
    /// [`Handle::spawn`], with the context that is current now.
    fn spawn_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`Handle::spawn_blocking`], with the context that is current now.
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static;
}

impl HandleExt for Handle {
    #[track_caller]
    fn spawn_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn(future.with_current_context())
    }

    #[track_caller]
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_blocking(wrap(f))
    }
}

/// Spawns of [`tokio::runtime::Runtime`] that carry the context.
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
pub trait RuntimeExt {
    /// [`Runtime::spawn`], with the context that is current now.
    fn spawn_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// [`Runtime::spawn_blocking`], with the context that is current now.
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static;
}

impl RuntimeExt for Runtime {
    #[track_caller]
    fn spawn_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle().spawn_with_current_context(future)
    }

    #[track_caller]
    fn spawn_blocking_with_current_context<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle().spawn_blocking_with_current_context(f)
    }
}
