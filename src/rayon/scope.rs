use ::rayon::{BroadcastContext, Scope, ScopeFifo};
use opentelemetry::Context;

use crate::{
    Snapshot,
    hop::{Sealed, bind},
};

/// Spawns of [`rayon::Scope`] that carry a context.
///
/// The closures get the scope, and may borrow what outlives it, as the originals' do. See
/// [`scope`](super::scope()) for an example.
pub trait ScopeExt<'scope>: Sealed {
    /// [`Scope::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce(&Scope<'scope>) + Send + 'scope;

    /// [`Scope::spawn_broadcast`], with the given context or other [`Snapshot`] on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + Sync + 'scope,
        F: Fn(&Scope<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope;

    /// [`Scope::spawn`], with the context that is current now.
    #[track_caller]
    fn spawn_with_current_context<F>(&self, body: F)
    where
        F: FnOnce(&Scope<'scope>) + Send + 'scope,
    {
        self.spawn_with_context(Context::capture(), body);
    }

    /// [`Scope::spawn_broadcast`], with the context that is current now on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_current_context<F>(&self, body: F)
    where
        F: Fn(&Scope<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        self.spawn_broadcast_with_context(Context::capture(), body);
    }
}

impl Sealed for Scope<'_> {}

impl<'scope> ScopeExt<'scope> for Scope<'scope> {
    fn spawn_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce(&Scope<'scope>) + Send + 'scope,
    {
        let body = bind("Scope::spawn", body, context);
        self.spawn(move |scope| body.run(|body| body(scope)));
    }

    fn spawn_broadcast_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + Sync + 'scope,
        F: Fn(&Scope<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        let body = bind("Scope::spawn_broadcast", body, context);
        self.spawn_broadcast(move |scope, at| body.run_ref(|body| body(scope, at)));
    }
}

/// Spawns of [`rayon::ScopeFifo`] that carry a context.
///
/// Like [`ScopeExt`].
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// let _guard = Context::current_with_value("request 7").attach();
/// let mut seen = None;
/// ctxhop::rayon::scope_fifo(|scope| {
///     scope.spawn_fifo_with_current_context(|_| seen = Context::current().get::<&str>().copied());
/// });
/// assert_eq!(seen, Some("request 7"));
/// ```
pub trait ScopeFifoExt<'scope>: Sealed {
    /// [`ScopeFifo::spawn_fifo`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_fifo_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce(&ScopeFifo<'scope>) + Send + 'scope;

    /// [`ScopeFifo::spawn_broadcast`], with the given context or other [`Snapshot`] on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + Sync + 'scope,
        F: Fn(&ScopeFifo<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope;

    /// [`ScopeFifo::spawn_fifo`], with the context that is current now.
    #[track_caller]
    fn spawn_fifo_with_current_context<F>(&self, body: F)
    where
        F: FnOnce(&ScopeFifo<'scope>) + Send + 'scope,
    {
        self.spawn_fifo_with_context(Context::capture(), body);
    }

    /// [`ScopeFifo::spawn_broadcast`], with the context that is current now on every thread of the pool.
    #[track_caller]
    fn spawn_broadcast_with_current_context<F>(&self, body: F)
    where
        F: Fn(&ScopeFifo<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        self.spawn_broadcast_with_context(Context::capture(), body);
    }
}

impl Sealed for ScopeFifo<'_> {}

impl<'scope> ScopeFifoExt<'scope> for ScopeFifo<'scope> {
    fn spawn_fifo_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce(&ScopeFifo<'scope>) + Send + 'scope,
    {
        let body = bind("ScopeFifo::spawn_fifo", body, context);
        self.spawn_fifo(move |scope| body.run(|body| body(scope)));
    }

    fn spawn_broadcast_with_context<S, F>(&self, context: S, body: F)
    where
        S: Snapshot + Send + Sync + 'scope,
        F: Fn(&ScopeFifo<'scope>, BroadcastContext<'_>) + Send + Sync + 'scope,
    {
        let body = bind("ScopeFifo::spawn_broadcast", body, context);
        self.spawn_broadcast(move |scope, at| body.run_ref(|body| body(scope, at)));
    }
}
