//! [`crate::rayon`]'s functions, with all of [`TracingSnapshot`].
//!
//! What is spawned in a scope has a context of its own, as in [`crate::rayon`]: bind it by hand,
//! `let body = body.with_current::<TracingSnapshot>(); scope.spawn(move |scope| body.run(|body| body(scope)))`.

use ::rayon::{BroadcastContext, FnContext, Scope, ScopeFifo};
pub use ::rayon::{in_place_scope, in_place_scope_fifo};

use super::{TracingSnapshot, wrap};
use crate::{Propagate, Snapshot, rayon::run_migrated};

/// [`rayon::join`], with the [`TracingSnapshot`] of now in both closures.
///
/// Like [`ctxhop::rayon::join`](crate::rayon::join).
pub fn join<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    join_context(|_| oper_a(), |_| oper_b())
}

/// [`rayon::join_context`], with the [`TracingSnapshot`] of now in both closures.
///
/// Like [`join`].
pub fn join_context<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce(FnContext) -> RA + Send,
    B: FnOnce(FnContext) -> RB + Send,
    RA: Send,
    RB: Send,
{
    let cx = &TracingSnapshot::capture();
    ::rayon::join_context(|at| run_migrated(cx, at, oper_a), |at| run_migrated(cx, at, oper_b))
}

/// [`rayon::scope`](::rayon::scope()), with the [`TracingSnapshot`] of now in its closure.
///
/// Like [`ctxhop::rayon::scope`](crate::rayon::scope()).
pub fn scope<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R + Send,
    R: Send,
{
    let op = op.with_current::<TracingSnapshot>();
    ::rayon::scope(|scope| op.run(|op| op(scope)))
}

/// [`rayon::scope_fifo`](::rayon::scope_fifo()), with the [`TracingSnapshot`] of now in its closure.
///
/// Like [`scope`].
pub fn scope_fifo<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
    R: Send,
{
    let op = op.with_current::<TracingSnapshot>();
    ::rayon::scope_fifo(|scope| op.run(|op| op(scope)))
}

/// [`rayon::spawn`](::rayon::spawn()), with the [`TracingSnapshot`] of now.
///
/// Like [`ctxhop::rayon::spawn`](crate::rayon::spawn).
pub fn spawn<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    ::rayon::spawn(wrap(func));
}

/// [`rayon::spawn_fifo`](::rayon::spawn_fifo()), with the [`TracingSnapshot`] of now.
///
/// Like [`spawn`].
pub fn spawn_fifo<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    ::rayon::spawn_fifo(wrap(func));
}

/// [`rayon::broadcast`](::rayon::broadcast()), with the [`TracingSnapshot`] of now on every thread of the pool.
///
/// Like [`ctxhop::rayon::broadcast`](crate::rayon::broadcast).
pub fn broadcast<OP, R>(op: OP) -> Vec<R>
where
    OP: Fn(BroadcastContext<'_>) -> R + Sync,
    R: Send,
{
    let cx = TracingSnapshot::capture();
    ::rayon::broadcast(|at| cx.run(|| op(at)))
}

/// [`rayon::spawn_broadcast`](::rayon::spawn_broadcast()), with the [`TracingSnapshot`] of now on every thread of the pool.
///
/// Like [`spawn`].
pub fn spawn_broadcast<OP>(op: OP)
where
    OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
{
    let op = op.with_current::<TracingSnapshot>();
    ::rayon::spawn_broadcast(move |at| op.run_ref(|op| op(at)));
}
