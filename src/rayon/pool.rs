use ::rayon::{BroadcastContext, Scope, ScopeFifo, ThreadPool};
use opentelemetry::Context;

use crate::{Propagate, Snapshot, wrap};

/// What [`rayon::ThreadPool`] runs, with the context.
///
/// `in_place_scope` and `in_place_scope_fifo` need nothing, as their closures stay on this thread; for what is spawned in
/// any scope, see [`ScopeExt`](super::ScopeExt) and [`ScopeFifoExt`](super::ScopeFifoExt). The context is attached for the
/// closure itself: parallel iterators in it are to be bound too.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// let _guard = Context::current_with_value("here").attach();
/// assert_eq!(pool.install_with_current_context(|| Context::current().get::<&str>().copied()), Some("here"));
/// ```
pub trait ThreadPoolExt {
    /// [`ThreadPool::install`], with the context that is current now.
    fn install_with_current_context<OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce() -> R + Send,
        R: Send;

    /// [`ThreadPool::join`], with the context that is current now in both closures.
    fn join_with_current_context<A, B, RA, RB>(&self, oper_a: A, oper_b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send;

    /// [`ThreadPool::scope`], with the context that is current now in its closure.
    fn scope_with_current_context<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send;

    /// [`ThreadPool::scope_fifo`], with the context that is current now in its closure.
    fn scope_fifo_with_current_context<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send;

    /// [`ThreadPool::spawn`], with the context that is current now.
    fn spawn_with_current_context<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static;

    /// [`ThreadPool::spawn_fifo`], with the context that is current now.
    fn spawn_fifo_with_current_context<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static;

    /// [`ThreadPool::broadcast`], with the context that is current now on every thread of the pool.
    fn broadcast_with_current_context<OP, R>(&self, op: OP) -> Vec<R>
    where
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send;

    /// [`ThreadPool::spawn_broadcast`], with the context that is current now on every thread of the pool.
    fn spawn_broadcast_with_current_context<OP>(&self, op: OP)
    where
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static;
}

impl ThreadPoolExt for ThreadPool {
    fn install_with_current_context<OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce() -> R + Send,
        R: Send,
    {
        self.install(wrap(op))
    }

    fn join_with_current_context<A, B, RA, RB>(&self, oper_a: A, oper_b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.install_with_current_context(|| super::join(oper_a, oper_b))
    }

    fn scope_with_current_context<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send,
    {
        let op = op.with_current_context();
        self.scope(|scope| op.run(|op| op(scope)))
    }

    fn scope_fifo_with_current_context<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send,
    {
        let op = op.with_current_context();
        self.scope_fifo(|scope| op.run(|op| op(scope)))
    }

    fn spawn_with_current_context<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        self.spawn(wrap(op));
    }

    fn spawn_fifo_with_current_context<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        self.spawn_fifo(wrap(op));
    }

    fn broadcast_with_current_context<OP, R>(&self, op: OP) -> Vec<R>
    where
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send,
    {
        let cx = Context::capture();
        self.broadcast(|at| cx.run(|| op(at)))
    }

    fn spawn_broadcast_with_current_context<OP>(&self, op: OP)
    where
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
    {
        let op = op.with_current_context();
        self.spawn_broadcast(move |at| op.run_ref(|op| op(at)));
    }
}
