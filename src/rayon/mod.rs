//! [`rayon`], with a context in every job and every parallel iterator.
//!
//! Free functions are drop-in: change `rayon::join` to `ctxhop::rayon::join`. Methods have the original's name with
//! `_with_current_context` behind it. Each has a form that takes the context, or another [`Snapshot`], as its first
//! argument: `_with_context`.
//!
//! | bare | with the current context | with one of your choice |
//! |---|---|---|
//! | `rayon::join(a, b)`, `join_context` | [`ctxhop::rayon::join(a, b)`](join), [`join_context`] | [`join_with_context`], [`join_context_with_context`] |
//! | `rayon::scope(…)`, `scope_fifo` | [`ctxhop::rayon::scope(…)`](scope), [`scope_fifo`] | [`scope_with_context`], [`scope_fifo_with_context`] |
//! | `rayon::in_place_scope(…)`, `in_place_scope_fifo` | the same, because the closure stays on this thread: [`in_place_scope`], [`in_place_scope_fifo`] | `cx.run(\|\| rayon::in_place_scope(…))` |
//! | `scope.spawn(…)`, `scope.spawn_broadcast(…)` | [`ScopeExt`], [`ScopeFifoExt`] | |
//! | `rayon::spawn(f)`, `spawn_fifo` | [`ctxhop::rayon::spawn(f)`](spawn), [`spawn_fifo`] | [`spawn_with_context`], [`spawn_fifo_with_context`] |
//! | `rayon::broadcast(f)`, `spawn_broadcast` | [`ctxhop::rayon::broadcast(f)`](broadcast), [`spawn_broadcast`] | [`broadcast_with_context`], [`spawn_broadcast_with_context`] |
//! | `pool.install(f)` and its siblings | [`ThreadPoolExt`] | |
//! | `items.par_iter().map(f).sum()` | `items.par_iter().with_current_context().map(f).sum()`, or [`in_current_context`](ParallelIteratorExt::in_current_context) | [`in_context`](ParallelIteratorExt::in_context) |
//! | `lines.par_bridge().map(f)` | `lines.par_bridge().with_current_context().map(f)`, for the `next` of `lines`, too | |
//! | `items.par_sort_by_key(f)` and its kin | `let cx = Context::capture();`<br>`items.par_sort_by_key(\|item\| cx.run(\|\| f(item)))` | |
//!
//! # Work stealing
//!
//! A worker that waits, in `join` for example, runs other jobs meanwhile, on its own stack and inside whatever is attached.
//! Every job made through this module attaches the context that was captured for it, also when that is empty: it never
//! sees the context of the job that its worker waits in. Jobs of bare `rayon` do.
//!
//! The context is let go when the job is done or has panicked. The panic goes where rayon sends it, and leaves the
//! worker clean.

mod pool;
mod scope;

pub use ::rayon::{in_place_scope, in_place_scope_fifo};
pub use pool::ThreadPoolExt;
pub use scope::{ScopeExt, ScopeFifoExt};

use ::rayon::{BroadcastContext, FnContext, Scope, ScopeFifo};
use opentelemetry::Context;

pub use crate::bound::parallel::ParallelIteratorExt;
use crate::{
    Snapshot,
    hop::{bind, job},
    trail::{self, Hop},
};

/// [`rayon::join`], with the context that is current now in both closures.
///
/// It costs one capture. The context is attached only where a closure was stolen, because otherwise it is current already.
/// Threads that capture the same context contend for its reference counts: some tens of nanoseconds, so stop splitting
/// at pieces that take a microsecond or more.
///
/// # Panics
///
/// With the closures' own panics, as [`rayon::join`] does.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// fn sum(numbers: &[u64]) -> u64 {
///     match numbers {
///         [] => 0,
///         [n] => n * Context::current().get::<u64>().unwrap(),
///         _ => {
///             let (left, right) = numbers.split_at(numbers.len() / 2);
///             let (left, right) = ctxhop::rayon::join(|| sum(left), || sum(right));
///             left + right
///         }
///     }
/// }
///
/// let _guard = Context::current_with_value(10_u64).attach();
/// assert_eq!(sum(&[1, 2, 3, 4]), 100);
/// ```
#[track_caller]
pub fn join<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    join_context(|_| oper_a(), |_| oper_b())
}

/// [`rayon::join`], with the given context or other [`Snapshot`] in both closures.
///
/// Like [`join`], with one attach more: around the whole of it.
#[track_caller]
pub fn join_with_context<S, A, B, RA, RB>(context: S, oper_a: A, oper_b: B) -> (RA, RB)
where
    S: Snapshot + Sync,
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    join_context_with_context(context, |_| oper_a(), |_| oper_b())
}

/// [`rayon::join_context`], with the context that is current now in both closures.
///
/// Like [`join`].
#[track_caller]
pub fn join_context<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce(FnContext) -> RA + Send,
    B: FnOnce(FnContext) -> RB + Send,
    RA: Send,
    RB: Send,
{
    join_inside(&Context::capture(), oper_a, oper_b)
}

/// [`rayon::join_context`], with the given context or other [`Snapshot`] in both closures.
///
/// Like [`join_with_context`].
#[track_caller]
pub fn join_context_with_context<S, A, B, RA, RB>(context: S, oper_a: A, oper_b: B) -> (RA, RB)
where
    S: Snapshot + Sync,
    A: FnOnce(FnContext) -> RA + Send,
    B: FnOnce(FnContext) -> RB + Send,
    RA: Send,
    RB: Send,
{
    context.run(|| join_inside(&context, oper_a, oper_b))
}

/// A join in the context that is current: a closure that has not migrated runs on the caller's stack, and so inside it.
#[inline]
pub(crate) fn join_inside<S, A, B, RA, RB>(current: &S, oper_a: A, oper_b: B) -> (RA, RB)
where
    S: Snapshot + Sync,
    A: FnOnce(FnContext) -> RA + Send,
    B: FnOnce(FnContext) -> RB + Send,
    RA: Send,
    RB: Send,
{
    trail::explicit();
    let hop_a = Hop::around();
    let hop_b = hop_a.clone();
    ::rayon::join_context(
        move |at| run_migrated(&hop_a, current, at, oper_a),
        move |at| run_migrated(&hop_b, current, at, oper_b),
    )
}

#[inline]
fn run_migrated<S: Snapshot, R>(around: &Hop, current: &S, at: FnContext, f: impl FnOnce(FnContext) -> R) -> R {
    if at.migrated() {
        let _border = around.enter();
        current.run(|| f(at))
    } else {
        f(at)
    }
}

/// [`rayon::scope`], with the context that is current now in its closure.
///
/// Each spawn in the scope carries a context of its own: see [`ScopeExt`].
///
/// # Panics
///
/// With the panics of the closure and of what it spawns, as [`rayon::scope`] does.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
/// use std::sync::Mutex;
///
/// let _guard = Context::current_with_value("request 7").attach();
/// let seen = Mutex::new(Vec::new());
/// ctxhop::rayon::scope(|scope| {
///     for n in 0..2 {
///         let seen = &seen;
///         scope.spawn_with_current_context(move |_| {
///             seen.lock().unwrap().push((n, Context::current().get::<&str>().copied()));
///         });
///     }
/// });
/// let mut seen = seen.into_inner().unwrap();
/// seen.sort();
/// assert_eq!(seen, [(0, Some("request 7")), (1, Some("request 7"))]);
/// ```
#[track_caller]
pub fn scope<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R + Send,
    R: Send,
{
    scope_with_context(Context::capture(), op)
}

/// [`rayon::scope`], with the given context or other [`Snapshot`] in its closure.
///
/// Like [`scope`].
#[track_caller]
pub fn scope_with_context<'scope, S, OP, R>(context: S, op: OP) -> R
where
    S: Snapshot + Send,
    OP: FnOnce(&Scope<'scope>) -> R + Send,
    R: Send,
{
    let op = bind("rayon::scope", op, context);
    ::rayon::scope(|scope| op.run(|op| op(scope)))
}

/// [`rayon::scope_fifo`], with the context that is current now in its closure.
///
/// Like [`scope`]. See [`ScopeFifoExt`] for its spawns.
#[track_caller]
pub fn scope_fifo<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
    R: Send,
{
    scope_fifo_with_context(Context::capture(), op)
}

/// [`rayon::scope_fifo`], with the given context or other [`Snapshot`] in its closure.
///
/// Like [`scope_fifo`].
#[track_caller]
pub fn scope_fifo_with_context<'scope, S, OP, R>(context: S, op: OP) -> R
where
    S: Snapshot + Send,
    OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
    R: Send,
{
    let op = bind("rayon::scope_fifo", op, context);
    ::rayon::scope_fifo(|scope| op.run(|op| op(scope)))
}

/// [`rayon::spawn`], with the context that is current now.
///
/// # Panics
///
/// The closure's own panic goes to the pool's panic handler, as with [`rayon::spawn`].
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// let _guard = Context::current_with_value("here").attach();
/// ctxhop::rayon::spawn(move || tx.send(Context::current().get::<&str>().copied()).unwrap());
/// assert_eq!(rx.recv().unwrap(), Some("here"));
/// ```
#[track_caller]
pub fn spawn<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    spawn_with_context(Context::capture(), func);
}

/// [`rayon::spawn`], with the given context or other [`Snapshot`].
///
/// Like [`spawn`].
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// let cx = Context::new().with_value("given");
/// ctxhop::rayon::spawn_with_context(cx, move || tx.send(Context::current().get::<&str>().copied()).unwrap());
/// assert_eq!(rx.recv().unwrap(), Some("given"));
/// ```
#[track_caller]
pub fn spawn_with_context<S, F>(context: S, func: F)
where
    S: Snapshot + Send + 'static,
    F: FnOnce() + Send + 'static,
{
    ::rayon::spawn(job("rayon::spawn", context, func));
}

/// [`rayon::spawn_fifo`], with the context that is current now.
///
/// Like [`spawn`].
#[track_caller]
pub fn spawn_fifo<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    spawn_fifo_with_context(Context::capture(), func);
}

/// [`rayon::spawn_fifo`], with the given context or other [`Snapshot`].
///
/// Like [`spawn`].
#[track_caller]
pub fn spawn_fifo_with_context<S, F>(context: S, func: F)
where
    S: Snapshot + Send + 'static,
    F: FnOnce() + Send + 'static,
{
    ::rayon::spawn_fifo(job("rayon::spawn_fifo", context, func));
}

/// [`rayon::broadcast`], with the context that is current now on every thread of the pool.
///
/// # Panics
///
/// With the closure's own panic, as [`rayon::broadcast`] does.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let _guard = Context::current_with_value("here").attach();
/// let seen = ctxhop::rayon::broadcast(|_| Context::current().get::<&str>().copied());
/// assert_eq!(seen, vec![Some("here"); rayon::current_num_threads()]);
/// ```
#[track_caller]
pub fn broadcast<OP, R>(op: OP) -> Vec<R>
where
    OP: Fn(BroadcastContext<'_>) -> R + Sync,
    R: Send,
{
    broadcast_with_context(Context::capture(), op)
}

/// [`rayon::broadcast`], with the given context or other [`Snapshot`] on every thread of the pool.
///
/// Like [`broadcast`].
#[track_caller]
pub fn broadcast_with_context<S, OP, R>(context: S, op: OP) -> Vec<R>
where
    S: Snapshot + Sync,
    OP: Fn(BroadcastContext<'_>) -> R + Sync,
    R: Send,
{
    let op = bind("rayon::broadcast", op, context);
    ::rayon::broadcast(|at| op.run_ref(|op| op(at)))
}

/// [`rayon::spawn_broadcast`], with the context that is current now on every thread of the pool.
///
/// Like [`spawn`].
#[track_caller]
pub fn spawn_broadcast<OP>(op: OP)
where
    OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
{
    spawn_broadcast_with_context(Context::capture(), op);
}

/// [`rayon::spawn_broadcast`], with the given context or other [`Snapshot`] on every thread of the pool.
///
/// Like [`spawn`].
#[track_caller]
pub fn spawn_broadcast_with_context<S, OP>(context: S, op: OP)
where
    S: Snapshot + Send + Sync + 'static,
    OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
{
    let op = bind("rayon::spawn_broadcast", op, context);
    ::rayon::spawn_broadcast(move |at| op.run_ref(|op| op(at)));
}
