//! [`crate::rayon`]'s functions and methods, with the current [`TracingSnapshot`].
//!
//! Each has a twin in [`crate::rayon`], whose docs say the rest: panics, and what it guarantees.

use ::rayon::{BroadcastContext, FnContext, Scope, ScopeFifo, ThreadPool, iter::ParallelIterator};
pub use ::rayon::{in_place_scope, in_place_scope_fifo};

use super::TracingSnapshot;
pub use crate::rayon::{
    broadcast_with_context, join_context_with_context, join_with_context, scope_fifo_with_context, scope_with_context,
    spawn_broadcast_with_context, spawn_fifo_with_context, spawn_with_context,
};
use crate::{Snapshot, WithContext, rayon};

/// [`rayon::join`](::rayon::join()), with the current [`TracingSnapshot`] in both closures.
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

/// [`rayon::join_context`](::rayon::join_context()), with the current [`TracingSnapshot`] in both closures.
#[track_caller]
pub fn join_context<A, B, RA, RB>(oper_a: A, oper_b: B) -> (RA, RB)
where
    A: FnOnce(FnContext) -> RA + Send,
    B: FnOnce(FnContext) -> RB + Send,
    RA: Send,
    RB: Send,
{
    rayon::join_inside(&TracingSnapshot::capture(), oper_a, oper_b)
}

/// [`rayon::scope`](::rayon::scope()), with the current [`TracingSnapshot`] in its closure.
#[track_caller]
pub fn scope<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&Scope<'scope>) -> R + Send,
    R: Send,
{
    scope_with_context(TracingSnapshot::capture(), op)
}

/// [`rayon::scope_fifo`](::rayon::scope_fifo()), with the current [`TracingSnapshot`] in its closure.
#[track_caller]
pub fn scope_fifo<'scope, OP, R>(op: OP) -> R
where
    OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
    R: Send,
{
    scope_fifo_with_context(TracingSnapshot::capture(), op)
}

/// [`rayon::spawn`](::rayon::spawn()), with the current [`TracingSnapshot`].
#[track_caller]
pub fn spawn<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    spawn_with_context(TracingSnapshot::capture(), func);
}

/// [`rayon::spawn_fifo`](::rayon::spawn_fifo()), with the current [`TracingSnapshot`].
#[track_caller]
pub fn spawn_fifo<F>(func: F)
where
    F: FnOnce() + Send + 'static,
{
    spawn_fifo_with_context(TracingSnapshot::capture(), func);
}

/// [`rayon::broadcast`](::rayon::broadcast()), with the current [`TracingSnapshot`] on every thread of the pool.
#[track_caller]
pub fn broadcast<OP, R>(op: OP) -> Vec<R>
where
    OP: Fn(BroadcastContext<'_>) -> R + Sync,
    R: Send,
{
    broadcast_with_context(TracingSnapshot::capture(), op)
}

/// [`rayon::spawn_broadcast`](::rayon::spawn_broadcast()), with the current [`TracingSnapshot`] on every thread of the pool.
#[track_caller]
pub fn spawn_broadcast<OP>(op: OP)
where
    OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
{
    spawn_broadcast_with_context(TracingSnapshot::capture(), op);
}

/// Spawns of [`rayon::Scope`](Scope) that carry the current [`TracingSnapshot`].
pub trait ScopeExt<'scope>: rayon::ScopeExt<'scope> {
    /// [`Scope::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F>(&self, body: F)
    where
        F: FnOnce(&Scope<'scope>) + Send + 'scope,
    {
        self.spawn_with_context(TracingSnapshot::capture(), body);
    }

    /// [`Scope::spawn_broadcast`], with the current [`TracingSnapshot`] on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_current_span<F>(&self, body: F)
    where
        F: Fn(&Scope<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        self.spawn_broadcast_with_context(TracingSnapshot::capture(), body);
    }
}

impl<'scope> ScopeExt<'scope> for Scope<'scope> {}

/// Spawns of [`rayon::ScopeFifo`](ScopeFifo) that carry the current [`TracingSnapshot`].
pub trait ScopeFifoExt<'scope>: rayon::ScopeFifoExt<'scope> {
    /// [`ScopeFifo::spawn_fifo`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_fifo_with_current_span<F>(&self, body: F)
    where
        F: FnOnce(&ScopeFifo<'scope>) + Send + 'scope,
    {
        self.spawn_fifo_with_context(TracingSnapshot::capture(), body);
    }

    /// [`ScopeFifo::spawn_broadcast`], with the current [`TracingSnapshot`] on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_current_span<F>(&self, body: F)
    where
        F: Fn(&ScopeFifo<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        self.spawn_broadcast_with_context(TracingSnapshot::capture(), body);
    }
}

impl<'scope> ScopeFifoExt<'scope> for ScopeFifo<'scope> {}

/// What [`rayon::ThreadPool`](ThreadPool) runs, with the current [`TracingSnapshot`].
pub trait ThreadPoolExt: rayon::ThreadPoolExt {
    /// [`ThreadPool::install`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn install_with_current_span<OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce() -> R + Send,
        R: Send,
    {
        self.install_with_context(TracingSnapshot::capture(), op)
    }

    /// [`ThreadPool::join`], with the current [`TracingSnapshot`] in both closures.
    #[track_caller]
    fn join_with_current_span<A, B, RA, RB>(&self, oper_a: A, oper_b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.join_with_context(TracingSnapshot::capture(), oper_a, oper_b)
    }

    /// [`ThreadPool::scope`], with the current [`TracingSnapshot`] in its closure.
    #[track_caller]
    fn scope_with_current_span<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send,
    {
        self.scope_with_context(TracingSnapshot::capture(), op)
    }

    /// [`ThreadPool::scope_fifo`], with the current [`TracingSnapshot`] in its closure.
    #[track_caller]
    fn scope_fifo_with_current_span<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send,
    {
        self.scope_fifo_with_context(TracingSnapshot::capture(), op)
    }

    /// [`ThreadPool::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        self.spawn_with_context(TracingSnapshot::capture(), op);
    }

    /// [`ThreadPool::spawn_fifo`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_fifo_with_current_span<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        self.spawn_fifo_with_context(TracingSnapshot::capture(), op);
    }

    /// [`ThreadPool::broadcast`], with the current [`TracingSnapshot`] on every thread of the pool.
    #[track_caller]
    fn broadcast_with_current_span<OP, R>(&self, op: OP) -> Vec<R>
    where
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send,
    {
        self.broadcast_with_context(TracingSnapshot::capture(), op)
    }

    /// [`ThreadPool::spawn_broadcast`], with the current [`TracingSnapshot`] on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_current_span<OP>(&self, op: OP)
    where
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
    {
        self.spawn_broadcast_with_context(TracingSnapshot::capture(), op);
    }
}

impl ThreadPoolExt for ThreadPool {}

/// [`inside_current_span`](Self::inside_current_span), on every parallel iterator.
pub trait ParallelIteratorExt: rayon::ParallelIteratorExt {
    /// Runs a whole chain of adaptors, and what consumes it, with the current [`TracingSnapshot`].
    ///
    /// Like [`in_current_context`](rayon::ParallelIteratorExt::in_current_context). Its name is not `in_current_span`,
    /// because [`tracing::Instrument`] gives a method of that name to every value.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tracing::prelude::*;
    /// use rayon::prelude::*;
    /// use tracing::{Span, info_span};
    /// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
    ///
    /// let name = || Span::current().metadata().map(|span| span.name());
    /// let names: Vec<_> = info_span!("order").in_scope(|| {
    ///     (0..2).into_par_iter().inside_current_span(|it| it.chunks(1).map(|_| name())).collect()
    /// });
    /// assert_eq!(names, [Some("order"); 2]);
    /// ```
    #[track_caller]
    fn inside_current_span<F, I>(self, chain: F) -> WithContext<I, TracingSnapshot>
    where
        F: FnOnce(WithContext<Self, TracingSnapshot>) -> I,
        I: ParallelIterator,
    {
        self.in_context(TracingSnapshot::capture(), chain)
    }
}

impl<I: rayon::ParallelIteratorExt> ParallelIteratorExt for I {}
