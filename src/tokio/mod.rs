//! [`tokio`], with a context in every task.
//!
//! Free functions are drop-in: change `tokio::spawn` to `ctxhop::tokio::spawn`. Methods have the original's name with
//! `_with_current_context` behind it. Each has a form that takes the context, or another
//! [`Snapshot`], as its first argument: `_with_context`.
//!
//! | bare | with the current context | with one of your choice |
//! |---|---|---|
//! | `tokio::spawn(fut)` | [`ctxhop::tokio::spawn(fut)`](spawn) | [`spawn_with_context(cx, fut)`](spawn_with_context) |
//! | `tokio::task::spawn_blocking(f)` | [`ctxhop::tokio::spawn_blocking(f)`](spawn_blocking) | [`spawn_blocking_with_context(cx, f)`](spawn_blocking_with_context) |
//! | `tokio::task::spawn_local(fut)` | [`ctxhop::tokio::spawn_local(fut)`](spawn_local) | [`spawn_local_with_context(cx, fut)`](spawn_local_with_context) |
//! | `handle.spawn(fut)`, `handle.spawn_blocking(f)` | [`HandleExt`] | |
//! | `runtime.spawn(fut)`, `runtime.spawn_blocking(f)` | [`RuntimeExt`] | |
//! | `join_set.spawn(fut)` and its siblings | [`JoinSetExt`] | |
//! | `local_set.spawn_local(fut)` | [`LocalSetExt`] | |
//! | `tracker.spawn(fut)` and its siblings (feature `tokio-util`) | [`TaskTrackerExt`] | |
//! | `iter.collect::<JoinSet<_>>()` | `iter.map(\|fut\| fut.with_current_context()).collect::<JoinSet<_>>()` | `fut.with_context(cx)` |
//!
//! For a task that outlives the request that started it, there are [`spawn_detached`] and [`spawn_parent_only`]. An accept
//! loop, a purge task or a client's worker is such a task: with [`spawn`], all that it ever does would belong to the
//! request that happened to start it, and that request's span would stay open as long. The methods have no such names; give
//! them the context: `set.spawn_with_context(Context::new(), fut)`.
//!
//! The context is captured at the call, and let go when the task is done, panics or is aborted. An aborted or refused task
//! drops all that it holds inside its context. `block_on` and `block_in_place` need nothing, because they stay on this
//! thread. For a spawner that is not listed, bind the work: `spawner.spawn(fut.with_current_context())`,
//! `spawner.spawn_blocking(ctxhop::wrap(f))`. For spawns in other people's crates there is the module `hooks` (feature
//! `tokio-hooks`, with `--cfg tokio_unstable`).
//!
//! A task on a `LocalSet` shows its context to no other task, because each poll detaches it again. A guard of
//! `Context::attach` that is held across an `.await` does show it to others: hold none.

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
use opentelemetry::Context;

use crate::{
    ContextExt, Snapshot,
    hop::{bind, job},
    trail,
};

/// [`tokio::spawn`], with the context that is current now.
///
/// # Panics
///
/// Outside a runtime, as [`tokio::spawn`] does.
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
    spawn_with_context(Context::capture(), future)
}

/// [`tokio::spawn`], with the given context or other [`Snapshot`].
///
/// # Panics
///
/// Outside a runtime, as [`tokio::spawn`] does.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// # #[tokio::main] async fn main() {
/// let cx = Context::new().with_value("given");
/// let task = ctxhop::tokio::spawn_with_context(cx, async { Context::current().get::<&str>().copied() });
/// assert_eq!(task.await.unwrap(), Some("given"));
/// # }
/// ```
#[track_caller]
pub fn spawn_with_context<S, F>(context: S, future: F) -> JoinHandle<F::Output>
where
    S: Snapshot + Send + 'static,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    task::spawn(bind("tokio::spawn", future, context))
}

/// [`tokio::spawn`], with an empty context: the task sees nothing of the request that started it, and keeps none of its
/// spans open.
///
/// Use it for a long-lived task: an accept loop, a connection pool, a flush loop. Do not give a
/// [`detached()`](crate::Propagate::detached) future to [`spawn`]: the task around it would hold the current context until it ends.
///
/// # Panics
///
/// Outside a runtime, as [`tokio::spawn`] does.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// # #[tokio::main] async fn main() {
/// let _guard = Context::current_with_value("request 7").attach();
/// let flush = ctxhop::tokio::spawn_detached(async { Context::current().get::<&str>().copied() });
/// # drop(_guard);
/// assert_eq!(flush.await.unwrap(), None);
/// # }
/// ```
#[track_caller]
pub fn spawn_detached<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    trail::explicit();
    spawn_with_context(Context::new(), future)
}

/// [`tokio::spawn`], with the [`parent_only`](ContextExt::parent_only) part of the context that is current now: what the
/// task does belongs to the current trace, but the task keeps no span open.
///
/// Use it for a task that nobody waits for, and that the trace should show all the same. With [`spawn`], a request that
/// returns at once would seem to last as long as the task.
///
/// # Panics
///
/// Outside a runtime, as [`tokio::spawn`] does.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::trace::Tracer;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let recorder = TraceRecorder::new();
/// let tracer = recorder.tracer("shop");
/// let cleanup = tracer.clone().in_span("request", |_| {
///     ctxhop::tokio::spawn_parent_only(async move { drop(tracer.start("cleanup")) })
/// });
/// assert_eq!(recorder.spans().len(), 1, "the request has ended, the clean-up has not begun");
///
/// cleanup.await.unwrap();
/// recorder.tree().assert_single_trace();
/// # }
/// ```
#[track_caller]
pub fn spawn_parent_only<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_with_context(Context::capture().parent_only(), future)
}

/// [`tokio::task::spawn_blocking`], with the context that is current now.
///
/// # Panics
///
/// Outside a runtime, as [`tokio::task::spawn_blocking`] does.
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
    spawn_blocking_with_context(Context::capture(), f)
}

/// [`tokio::task::spawn_blocking`], with the given context or other [`Snapshot`].
///
/// Like [`spawn_blocking`].
#[track_caller]
pub fn spawn_blocking_with_context<S, F, R>(context: S, f: F) -> JoinHandle<R>
where
    S: Snapshot + Send + 'static,
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    task::spawn_blocking(job("tokio::spawn_blocking", context, f))
}

/// [`tokio::task::spawn_local`], with the context that is current now.
///
/// # Panics
///
/// Outside a [`LocalSet`](task::LocalSet) or local runtime, as [`tokio::task::spawn_local`] does.
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
    spawn_local_with_context(Context::capture(), future)
}

/// [`tokio::task::spawn_local`], with the given context or other [`Snapshot`].
///
/// Like [`spawn_local`].
#[track_caller]
pub fn spawn_local_with_context<S, F>(context: S, future: F) -> JoinHandle<F::Output>
where
    S: Snapshot + 'static,
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn_local(bind("tokio::spawn_local", future, context))
}
