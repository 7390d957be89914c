//! [`Propagating`]: an executor that captures the context at each submit.

use std::{fmt, marker::PhantomData};

use opentelemetry::Context;

use crate::{Propagate, Snapshot};

/// Wraps an executor, so that everything submitted to it runs in the context that is current at its submit.
///
/// Use it where a library spawns for you and takes the executor as a parameter. It implements, where `E` does:
///
/// - `futures::task::Spawn` and `LocalSpawn`, and so also `SpawnExt` and `LocalSpawnExt` (feature `futures`);
/// - [`hyper::rt::Executor`] (feature `hyper`).
///
/// futures' traits hand over a boxed future and hide its type. To wrap that, it is boxed once more: one allocation a submit.
/// hyper's trait keeps the type, so there is none.
///
/// It captures the OpenTelemetry context, or what [`capturing`](Self::capturing) says. `ctxhop::tracing::executor` has an
/// alias that captures `tracing`'s span, too. For one submit in a context of your choice, give a bound future to the
/// executor [inside](Self::inner): `executor.inner().spawn(fut.with_context(cx))`.
///
/// # Not for clients with a pool
///
/// A client opens a connection on the way, in the context of whichever request needs it first, and gives it to its executor
/// as a task of its own. With this executor, that task holds the request's context for as long as the connection is open: the
/// request's span stays open for minutes (unless it is ended explicitly, as [`TraceLayer`](crate::tower::TraceLayer) does), and
/// whatever the connection does later is in that request's trace. Give such a client the bare executor. Its requests do not
/// need another: they run in the task that sends them.
///
/// ```
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// # use http_body_util::Empty;
///
/// let client = Client::builder(TokioExecutor::new()).build_http();
/// # let _: Client<_, Empty<hyper::body::Bytes>> = client;
/// ```
///
/// # Examples
///
/// ```
/// use ctxhop::executor::Propagating;
/// use futures::{executor::LocalPool, task::LocalSpawnExt};
/// use opentelemetry::Context;
///
/// let mut pool = LocalPool::new();
/// let executor = Propagating::new(pool.spawner());
///
/// let _guard = Context::current_with_value("first").attach();
/// let first = executor.spawn_local_with_handle(async { Context::current().get::<&str>().copied() }).unwrap();
/// let _guard = Context::current_with_value("second").attach();
/// let second = executor.spawn_local_with_handle(async { Context::current().get::<&str>().copied() }).unwrap();
///
/// let seen = pool.run_until(async { (first.await, second.await) });
/// assert_eq!(seen, (Some("first"), Some("second")));
/// ```
pub struct Propagating<E, S = Context> {
    executor: E,
    snapshot: PhantomData<fn() -> S>,
}

impl<E> Propagating<E> {
    /// Wraps an executor, to capture the OpenTelemetry context.
    pub const fn new(executor: E) -> Self {
        Self::capturing(executor)
    }
}

impl<E, S> Propagating<E, S> {
    /// Wraps an executor, to capture the [`Snapshot`] of your choice:
    /// `Propagating::<_, (Context, Tenant)>::capturing(executor)`.
    pub const fn capturing(executor: E) -> Self {
        Self { executor, snapshot: PhantomData }
    }

    /// The executor inside, which captures nothing.
    pub const fn inner(&self) -> &E {
        &self.executor
    }

    /// Takes the executor out.
    pub fn into_inner(self) -> E {
        self.executor
    }
}

impl<E: Clone, S> Clone for Propagating<E, S> {
    fn clone(&self) -> Self {
        Self::capturing(self.executor.clone())
    }
}

impl<E: fmt::Debug, S> fmt::Debug for Propagating<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Propagating").field(&self.executor).finish()
    }
}

#[cfg(feature = "futures")]
impl<E: futures_task::Spawn, S: Snapshot + Send + 'static> futures_task::Spawn for Propagating<E, S> {
    #[track_caller]
    fn spawn_obj(&self, future: futures_task::FutureObj<'static, ()>) -> Result<(), futures_task::SpawnError> {
        self.executor.spawn_obj(Box::new(future.with_current::<S>()).into())
    }

    fn status(&self) -> Result<(), futures_task::SpawnError> {
        self.executor.status()
    }
}

#[cfg(feature = "futures")]
impl<E: futures_task::LocalSpawn, S: Snapshot + 'static> futures_task::LocalSpawn for Propagating<E, S> {
    #[track_caller]
    fn spawn_local_obj(
        &self,
        future: futures_task::LocalFutureObj<'static, ()>,
    ) -> Result<(), futures_task::SpawnError> {
        self.executor.spawn_local_obj(Box::new(future.with_current::<S>()).into())
    }

    fn status_local(&self) -> Result<(), futures_task::SpawnError> {
        self.executor.status_local()
    }
}

#[cfg(feature = "hyper")]
impl<E, F, S> hyper::rt::Executor<F> for Propagating<E, S>
where
    E: hyper::rt::Executor<crate::WithContext<F, S>>,
    S: Snapshot,
{
    #[track_caller]
    fn execute(&self, future: F) {
        self.executor.execute(future.with_current::<S>());
    }
}
