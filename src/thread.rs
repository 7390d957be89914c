//! [`std::thread`], with a context in every thread.
//!
//! | bare | with the current context | with one of your choice |
//! |---|---|---|
//! | `std::thread::spawn(f)` | [`ctxhop::thread::spawn(f)`](spawn) | [`spawn_with_context(cx, f)`](spawn_with_context) |
//! | `builder.spawn(f)` | [`builder.spawn_with_current_context(f)`](BuilderExt::spawn_with_current_context) | [`builder.spawn_with_context(cx, f)`](BuilderExt::spawn_with_context) |
//! | `builder.spawn_scoped(scope, f)` | [`builder.spawn_scoped_with_current_context(scope, f)`](BuilderExt::spawn_scoped_with_current_context) | [`builder.spawn_scoped_with_context(cx, scope, f)`](BuilderExt::spawn_scoped_with_context) |
//! | `scope.spawn(f)` | [`scope.spawn_with_current_context(f)`](ScopeExt::spawn_with_current_context) | [`scope.spawn_with_context(cx, f)`](ScopeExt::spawn_with_context) |
//!
//! For a thread that outlives the request that started it, there are [`spawn_detached`] and [`spawn_parent_only`].
//!
//! The context is captured at the call. The thread lets it go when the closure returns or panics. It is current for the
//! closure only: destructors of the new thread's thread-locals run outside it.

use std::{
    io,
    thread::{Builder, JoinHandle, Scope, ScopedJoinHandle},
};

use opentelemetry::Context;

use crate::{
    ContextExt, Snapshot,
    hop::{Sealed, job},
    trail,
};

/// [`std::thread::spawn`], with the context that is current now.
///
/// # Panics
///
/// If the operating system refuses a thread, as [`std::thread::spawn`] does. The closure is then dropped inside its
/// context, and the context let go.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let _guard = Context::current_with_value("here").attach();
/// let thread = ctxhop::thread::spawn(|| Context::current().get::<&str>().copied());
/// assert_eq!(thread.join().unwrap(), Some("here"));
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with_context(Context::capture(), f)
}

/// [`std::thread::spawn`], with the given context or other [`Snapshot`].
///
/// # Panics
///
/// If the operating system refuses a thread, as [`spawn`] does.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let cx = Context::new().with_value("given");
/// let thread = ctxhop::thread::spawn_with_context(cx, || Context::current().get::<&str>().copied());
/// assert_eq!(thread.join().unwrap(), Some("given"));
/// ```
#[track_caller]
pub fn spawn_with_context<S, F, T>(context: S, f: F) -> JoinHandle<T>
where
    S: Snapshot + Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    std::thread::spawn(job("thread::spawn", context, f))
}

/// [`std::thread::spawn`], with an empty context: the thread sees nothing of the request that started it, and keeps none
/// of its spans open.
///
/// Use it for a long-lived thread that whoever comes first starts: a writer, a flush loop. A bare `std::thread::spawn`
/// would do the same; this name says that it is meant, and a lint that forbids the bare call lets it pass.
///
/// # Panics
///
/// If the operating system refuses a thread, as [`spawn`] does.
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let _guard = Context::current_with_value("request 7").attach();
/// let writer = ctxhop::thread::spawn_detached(|| Context::current().get::<&str>().copied());
/// assert_eq!(writer.join().unwrap(), None);
/// ```
#[track_caller]
pub fn spawn_detached<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    trail::explicit();
    spawn_with_context(Context::new(), f)
}

/// [`std::thread::spawn`], with the [`parent_only`](ContextExt::parent_only) part of the context that is current now: what
/// the thread does belongs to the current trace, but the thread keeps no span open.
///
/// Use it for work that nobody waits for, and that the trace should show all the same.
///
/// # Panics
///
/// If the operating system refuses a thread, as [`spawn`] does.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::trace::Tracer;
/// use std::sync::Barrier;
///
/// static REQUEST_HAS_ENDED: Barrier = Barrier::new(2);
///
/// let recorder = TraceRecorder::new();
/// let tracer = recorder.tracer("shop");
/// let cleanup = tracer.clone().in_span("request", |_| {
///     ctxhop::thread::spawn_parent_only(move || {
///         REQUEST_HAS_ENDED.wait();
///         drop(tracer.start("cleanup"));
///     })
/// });
/// assert_eq!(recorder.spans().len(), 1, "the request has ended, the clean-up has not begun");
///
/// REQUEST_HAS_ENDED.wait();
/// cleanup.join().unwrap();
/// recorder.tree().assert_single_trace();
/// ```
#[track_caller]
pub fn spawn_parent_only<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with_context(Context::capture().parent_only(), f)
}

/// Spawns of [`std::thread::Builder`] that carry a context.
///
/// # Errors
///
/// Each method returns the error of its original if the operating system refuses a thread. The closure is then dropped
/// inside its context, and the context let go.
///
/// # Panics
///
/// Each method panics, as its original does, if the thread's name contains a null byte.
pub trait BuilderExt: Sealed + Sized {
    /// [`Builder::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F, T>(self, context: S, f: F) -> io::Result<JoinHandle<T>>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// [`Builder::spawn_scoped`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_scoped_with_context<'scope, 'env, S, F, T>(
        self,
        context: S,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope;

    /// [`Builder::spawn`], with the context that is current now.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::prelude::*;
    /// use opentelemetry::Context;
    ///
    /// let _guard = Context::current_with_value("here").attach();
    /// let writer = std::thread::Builder::new()
    ///     .name("writer".into())
    ///     .spawn_with_current_context(|| Context::current().get::<&str>().copied())
    ///     .unwrap();
    /// assert_eq!(writer.join().unwrap(), Some("here"));
    /// ```
    #[track_caller]
    fn spawn_with_current_context<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with_context(Context::capture(), f)
    }

    /// [`Builder::spawn_scoped`], with the context that is current now.
    #[track_caller]
    fn spawn_scoped_with_current_context<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_scoped_with_context(Context::capture(), scope, f)
    }
}

impl Sealed for Builder {}

impl BuilderExt for Builder {
    fn spawn_with_context<S, F, T>(self, context: S, f: F) -> io::Result<JoinHandle<T>>
    where
        S: Snapshot + Send + 'static,
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(job("thread::Builder::spawn", context, f))
    }

    fn spawn_scoped_with_context<'scope, 'env, S, F, T>(
        self,
        context: S,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_scoped(scope, job("thread::Builder::spawn_scoped", context, f))
    }
}

/// Spawns of [`std::thread::Scope`] that carry a context. The closures may borrow.
///
/// # Panics
///
/// Each method panics, as [`Scope::spawn`] does, if the operating system refuses a thread.
pub trait ScopeExt<'scope>: Sealed {
    /// [`Scope::spawn`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_with_context<S, F, T>(&'scope self, context: S, f: F) -> ScopedJoinHandle<'scope, T>
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope;

    /// [`Scope::spawn`], with the context that is current now.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::prelude::*;
    /// use opentelemetry::Context;
    ///
    /// let orders = vec![3, 4];
    /// let _guard = Context::current_with_value(10).attach();
    /// let sum: i32 = std::thread::scope(|scope| {
    ///     let threads: Vec<_> = orders
    ///         .iter()
    ///         .map(|n| scope.spawn_with_current_context(move || n * Context::current().get::<i32>().unwrap()))
    ///         .collect();
    ///     threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    /// });
    /// assert_eq!(sum, 70);
    /// ```
    #[track_caller]
    fn spawn_with_current_context<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_with_context(Context::capture(), f)
    }
}

impl Sealed for Scope<'_, '_> {}

impl<'scope> ScopeExt<'scope> for Scope<'scope, '_> {
    fn spawn_with_context<S, F, T>(&'scope self, context: S, f: F) -> ScopedJoinHandle<'scope, T>
    where
        S: Snapshot + Send + 'scope,
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn(job("thread::Scope::spawn", context, f))
    }
}
