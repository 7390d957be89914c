use ::rayon::{BroadcastContext, Scope, ScopeFifo, ThreadPool};
use opentelemetry::Context;

use crate::{
    Snapshot,
    hop::{Sealed, bind, job},
    trail::{self, Hop},
};

/// What [`rayon::ThreadPool`] runs, with a context.
///
/// `in_place_scope` and `in_place_scope_fifo` need nothing, because their closures stay on this thread. For spawns in any
/// scope, see [`ScopeExt`](super::ScopeExt) and [`ScopeFifoExt`](super::ScopeFifoExt). The context is attached for the
/// closure itself: bind parallel iterators in it, too.
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
pub trait ThreadPoolExt: Sealed {
    /// [`ThreadPool::install`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn install_with_context<S, OP, R>(&self, context: S, op: OP) -> R
    where
        S: Snapshot + Send,
        OP: FnOnce() -> R + Send,
        R: Send;

    /// [`ThreadPool::join`], with the given context or other [`Snapshot`] in both closures.
    #[track_caller]
    fn join_with_context<S, A, B, RA, RB>(&self, context: S, oper_a: A, oper_b: B) -> (RA, RB)
    where
        S: Snapshot + Send + Sync,
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send;

    /// [`ThreadPool::scope`], with the given context or other [`Snapshot`] in its closure.
    #[track_caller]
    fn scope_with_context<'scope, S, OP, R>(&self, context: S, op: OP) -> R
    where
        S: Snapshot + Send,
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send;

    /// [`ThreadPool::scope_fifo`], with the given context or other [`Snapshot`] in its closure.
    #[track_caller]
    fn scope_fifo_with_context<'scope, S, OP, R>(&self, context: S, op: OP) -> R
    where
        S: Snapshot + Send,
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send;

    /// [`ThreadPool::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, OP>(&self, context: S, op: OP)
    where
        S: Snapshot + Send + 'static,
        OP: FnOnce() + Send + 'static;

    /// [`ThreadPool::spawn_fifo`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_fifo_with_context<S, OP>(&self, context: S, op: OP)
    where
        S: Snapshot + Send + 'static,
        OP: FnOnce() + Send + 'static;

    /// [`ThreadPool::broadcast`], with the given context or other [`Snapshot`] on every thread of the pool.
    #[track_caller]
    fn broadcast_with_context<S, OP, R>(&self, context: S, op: OP) -> Vec<R>
    where
        S: Snapshot + Sync,
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send;

    /// [`ThreadPool::spawn_broadcast`], with the given context or other [`Snapshot`] on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_context<S, OP>(&self, context: S, op: OP)
    where
        S: Snapshot + Send + Sync + 'static,
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static;

    /// [`ThreadPool::install`], with the context that is current now.
    #[track_caller]
    fn install_with_current_context<OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce() -> R + Send,
        R: Send,
    {
        self.install_with_context(Context::capture(), op)
    }

    /// [`ThreadPool::join`], with the context that is current now in both closures.
    #[track_caller]
    fn join_with_current_context<A, B, RA, RB>(&self, oper_a: A, oper_b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.join_with_context(Context::capture(), oper_a, oper_b)
    }

    /// [`ThreadPool::scope`], with the context that is current now in its closure.
    #[track_caller]
    fn scope_with_current_context<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send,
    {
        self.scope_with_context(Context::capture(), op)
    }

    /// [`ThreadPool::scope_fifo`], with the context that is current now in its closure.
    #[track_caller]
    fn scope_fifo_with_current_context<'scope, OP, R>(&self, op: OP) -> R
    where
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send,
    {
        self.scope_fifo_with_context(Context::capture(), op)
    }

    /// [`ThreadPool::spawn`], with the context that is current now.
    #[track_caller]
    fn spawn_with_current_context<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        self.spawn_with_context(Context::capture(), op);
    }

    /// [`ThreadPool::spawn_fifo`], with the context that is current now.
    #[track_caller]
    fn spawn_fifo_with_current_context<OP>(&self, op: OP)
    where
        OP: FnOnce() + Send + 'static,
    {
        self.spawn_fifo_with_context(Context::capture(), op);
    }

    /// [`ThreadPool::broadcast`], with the context that is current now on every thread of the pool.
    #[track_caller]
    fn broadcast_with_current_context<OP, R>(&self, op: OP) -> Vec<R>
    where
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send,
    {
        self.broadcast_with_context(Context::capture(), op)
    }

    /// [`ThreadPool::spawn_broadcast`], with the context that is current now on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_current_context<OP>(&self, op: OP)
    where
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
    {
        self.spawn_broadcast_with_context(Context::capture(), op);
    }
}

impl Sealed for ThreadPool {}

impl ThreadPoolExt for ThreadPool {
    fn install_with_context<S, OP, R>(&self, context: S, op: OP) -> R
    where
        S: Snapshot + Send,
        OP: FnOnce() -> R + Send,
        R: Send,
    {
        self.install(job("ThreadPool::install", context, op))
    }

    fn join_with_context<S, A, B, RA, RB>(&self, context: S, oper_a: A, oper_b: B) -> (RA, RB)
    where
        S: Snapshot + Send + Sync,
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        trail::explicit();
        let around = Hop::around();
        self.install(move || {
            let _border = around.enter();
            super::join_with_context(context, oper_a, oper_b)
        })
    }

    fn scope_with_context<'scope, S, OP, R>(&self, context: S, op: OP) -> R
    where
        S: Snapshot + Send,
        OP: FnOnce(&Scope<'scope>) -> R + Send,
        R: Send,
    {
        let op = bind("ThreadPool::scope", op, context);
        self.scope(|scope| op.run(|op| op(scope)))
    }

    fn scope_fifo_with_context<'scope, S, OP, R>(&self, context: S, op: OP) -> R
    where
        S: Snapshot + Send,
        OP: FnOnce(&ScopeFifo<'scope>) -> R + Send,
        R: Send,
    {
        let op = bind("ThreadPool::scope_fifo", op, context);
        self.scope_fifo(|scope| op.run(|op| op(scope)))
    }

    fn spawn_with_context<S, OP>(&self, context: S, op: OP)
    where
        S: Snapshot + Send + 'static,
        OP: FnOnce() + Send + 'static,
    {
        self.spawn(job("ThreadPool::spawn", context, op));
    }

    fn spawn_fifo_with_context<S, OP>(&self, context: S, op: OP)
    where
        S: Snapshot + Send + 'static,
        OP: FnOnce() + Send + 'static,
    {
        self.spawn_fifo(job("ThreadPool::spawn_fifo", context, op));
    }

    fn broadcast_with_context<S, OP, R>(&self, context: S, op: OP) -> Vec<R>
    where
        S: Snapshot + Sync,
        OP: Fn(BroadcastContext<'_>) -> R + Sync,
        R: Send,
    {
        let op = bind("ThreadPool::broadcast", op, context);
        self.broadcast(|at| op.run_ref(|op| op(at)))
    }

    fn spawn_broadcast_with_context<S, OP>(&self, context: S, op: OP)
    where
        S: Snapshot + Send + Sync + 'static,
        OP: Fn(BroadcastContext<'_>) + Send + Sync + 'static,
    {
        let op = bind("ThreadPool::spawn_broadcast", op, context);
        self.spawn_broadcast(move |at| op.run_ref(|op| op(at)));
    }
}
