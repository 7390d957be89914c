//! [`crate::thread`]'s functions and methods, with the current [`TracingSnapshot`].
//!
//! Each has a twin in [`crate::thread`], whose docs say the rest: errors, panics, and what it guarantees.

use std::{
    io,
    thread::{Builder, JoinHandle, Scope, ScopedJoinHandle},
};

use super::TracingSnapshot;
pub use crate::thread::spawn_with_context;
use crate::{Snapshot, thread};

/// [`std::thread::spawn`], with the current [`TracingSnapshot`].
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with_context(TracingSnapshot::capture(), f)
}

/// [`std::thread::spawn`], with [`TracingSnapshot::none`]: the thread sees no span and no context of the request that
/// started it, and keeps none of its spans open. It has the request's subscriber.
#[track_caller]
pub fn spawn_detached<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with_context(TracingSnapshot::none(), f)
}

/// [`std::thread::spawn`], with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`]:
/// what the thread does belongs to the current trace, but the thread keeps no span open.
#[track_caller]
pub fn spawn_parent_only<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with_context(TracingSnapshot::capture().parent_only(), f)
}

/// Spawns of [`std::thread::Builder`] that carry the current [`TracingSnapshot`].
pub trait BuilderExt: thread::BuilderExt {
    /// [`Builder::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with_context(TracingSnapshot::capture(), f)
    }

    /// [`Builder::spawn_scoped`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_scoped_with_current_span<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_scoped_with_context(TracingSnapshot::capture(), scope, f)
    }
}

impl BuilderExt for Builder {}

/// Spawns of [`std::thread::Scope`] that carry the current [`TracingSnapshot`].
pub trait ScopeExt<'scope>: thread::ScopeExt<'scope> {
    /// [`Scope::spawn`], with the current [`TracingSnapshot`].
    #[track_caller]
    fn spawn_with_current_span<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_with_context(TracingSnapshot::capture(), f)
    }
}

impl<'scope> ScopeExt<'scope> for Scope<'scope, '_> {}
