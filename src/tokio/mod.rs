//! [`tokio`], with the current context in every task.
//!
//! Free functions are drop-in: change `tokio::spawn` to `ctxhop::tokio::spawn`. Methods have the original's name with
//! `_with_current_context` behind it.
//!
//! | bare | with the context |
//! |---|---|
//! | `tokio::spawn(fut)` | [`ctxhop::tokio::spawn(fut)`](spawn) |
//! | `tokio::task::spawn_blocking(f)` | [`ctxhop::tokio::spawn_blocking(f)`](spawn_blocking) |
//! | `tokio::task::spawn_local(fut)` | [`ctxhop::tokio::spawn_local(fut)`](spawn_local) |
//! | `handle.spawn(fut)`, `handle.spawn_blocking(f)` | [`HandleExt`] |
//! | `runtime.spawn(fut)`, `runtime.spawn_blocking(f)` | [`RuntimeExt`] |
//! | `join_set.spawn(fut)` and its siblings | [`JoinSetExt`] |
//! | `local_set.spawn_local(fut)` | [`LocalSetExt`] |
//! | `tracker.spawn(fut)` and its siblings (feature `tokio-util`) | [`TaskTrackerExt`] |
//!
//! The context is captured at the call, and let go when the task is done, panics or is aborted; what an aborted or
//! refused task holds is dropped inside its context. `block_on` and `block_in_place` need nothing: they stay on this
//! thread. For whatever spawns and is not listed, bind the context by hand: `spawner.spawn(fut.with_current_context())`,
//! `spawner.spawn_blocking(ctxhop::wrap(f))`. For spawns in other people's crates there is the module `hooks` (feature
//! `tokio-hooks`, with `--cfg tokio_unstable`).
//!
//! `spawn_local` and its like show a task's context to that task alone, as any poll does; hold no guard of
//! `Context::attach` across an `.await`.

#[cfg(all(feature = "tokio-hooks", tokio_unstable))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "tokio-hooks", tokio_unstable))))]
pub mod hooks;
mod join_set;
mod local_set;
mod runtime;
#[cfg(feature = "tokio-util")]
mod task_tracker;

pub use join_set::JoinSetExt;
pub use local_set::LocalSetExt;
pub use runtime::{HandleExt, RuntimeExt};
#[cfg(feature = "tokio-util")]
pub use task_tracker::TaskTrackerExt;

use ::tokio::task::{self, JoinHandle};

use crate::{Propagate, wrap};

/// [`tokio::spawn`], with the context that is current now.
///
/// # Panics
///
/// As [`tokio::spawn`]: outside a runtime.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// # #[tokio::main] async fn main() {
/// let task = {
///     let _guard = Context::current_with_value("here").attach();
///     ctxhop::tokio::spawn(async { Context::current().get::<&str>().copied() })
/// };
/// assert_eq!(task.await.unwrap(), Some("here"));
/// # }
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    task::spawn(future.with_current_context())
}

/// [`tokio::task::spawn_blocking`], with the context that is current now.
///
/// # Panics
///
/// As [`tokio::task::spawn_blocking`]: outside a runtime.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// # #[tokio::main] async fn main() {
/// let task = {
///     let _guard = Context::current_with_value("here").attach();
///     ctxhop::tokio::spawn_blocking(|| Context::current().get::<&str>().copied())
/// };
/// assert_eq!(task.await.unwrap(), Some("here"));
/// # }
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    task::spawn_blocking(wrap(f))
}

/// [`tokio::task::spawn_local`], with the context that is current now.
///
/// # Panics
///
/// As [`tokio::task::spawn_local`]: outside a [`LocalSet`](task::LocalSet) or local runtime.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// tokio::task::LocalSet::new().run_until(async {
///     let task = {
///         let _guard = Context::current_with_value("here").attach();
///         ctxhop::tokio::spawn_local(async { Context::current().get::<&str>().copied() })
///     };
///     assert_eq!(task.await.unwrap(), Some("here"));
/// }).await;
/// # }
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn_local(future.with_current_context())
}
