//! [`std::thread`], with the current context in every thread.
//!
//! | bare | with the context |
//! |---|---|
//! | `std::thread::spawn(f)` | [`ctxhop::thread::spawn(f)`](spawn) |
//! | `builder.spawn(f)` | [`builder.spawn_with_current_context(f)`](BuilderExt::spawn_with_current_context) |
//! | `builder.spawn_scoped(scope, f)` | [`builder.spawn_scoped_with_current_context(scope, f)`](BuilderExt::spawn_scoped_with_current_context) |
//! | `scope.spawn(f)` | [`scope.spawn_with_current_context(f)`](ScopeExt::spawn_with_current_context) |
//!
//! The context is captured at the call, let go when the closure returns or panics, and current for the closure only:
//! destructors of the new thread's thread-locals run outside it.

use std::{
    io,
    thread::{Builder, JoinHandle, Scope, ScopedJoinHandle},
};

use crate::wrap;

/// [`std::thread::spawn`], with the context that is current now.
///
/// # Panics
///
/// As [`std::thread::spawn`] does, if the operating system refuses a thread; the closure is dropped inside its context
/// and the context let go.
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
    std::thread::spawn(wrap(f))
}

/// Spawns of [`std::thread::Builder`] that carry the context.
pub trait BuilderExt {
    /// [`Builder::spawn`], with the context that is current now.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`]: the closure is dropped inside its context, and the context let go.
    ///
    /// # Panics
    ///
    /// As [`Builder::spawn`]: if the thread's name contains a null byte.
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
    fn spawn_with_current_context<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// [`Builder::spawn_scoped`], with the context that is current now.
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn_scoped`]: the closure is dropped inside its context, and the context let go.
    ///
    /// # Panics
    ///
    /// As [`Builder::spawn_scoped`]: if the thread's name contains a null byte.
    fn spawn_scoped_with_current_context<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope;
}

impl BuilderExt for Builder {
    fn spawn_with_current_context<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(wrap(f))
    }

    fn spawn_scoped_with_current_context<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_scoped(scope, wrap(f))
    }
}

/// Spawns of [`std::thread::Scope`] that carry the context.
pub trait ScopeExt<'scope> {
    /// [`Scope::spawn`], with the context that is current now. The closure may borrow.
    ///
    /// # Panics
    ///
    /// As [`Scope::spawn`] does, if the operating system refuses a thread.
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
    fn spawn_with_current_context<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope;
}

impl<'scope> ScopeExt<'scope> for Scope<'scope, '_> {
    #[track_caller]
    fn spawn_with_current_context<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn(wrap(f))
    }
}
