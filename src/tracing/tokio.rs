//! [`crate::tokio`]'s functions, with all of [`TracingSnapshot`].

use ::tokio::task::{self, JoinHandle};

use super::{TracingSnapshot, wrap};
use crate::Propagate;

/// [`tokio::spawn`], with the [`TracingSnapshot`] of now.
///
/// Like [`ctxhop::tokio::spawn`](crate::tokio::spawn).
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    task::spawn(future.with_current::<TracingSnapshot>())
}

/// [`tokio::task::spawn_blocking`], with the [`TracingSnapshot`] of now.
///
/// Like [`ctxhop::tokio::spawn_blocking`](crate::tokio::spawn_blocking).
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    task::spawn_blocking(wrap(f))
}

/// [`tokio::task::spawn_local`], with the [`TracingSnapshot`] of now.
///
/// Like [`ctxhop::tokio::spawn_local`](crate::tokio::spawn_local).
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn_local(future.with_current::<TracingSnapshot>())
}
