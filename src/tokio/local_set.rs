use ::tokio::task::{JoinHandle, LocalSet};
use opentelemetry::Context;

use crate::{
    Snapshot,
    hop::{Sealed, bind},
};

/// Spawns of [`tokio::task::LocalSet`] that carry a context.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let local = tokio::task::LocalSet::new();
/// let task = {
///     let _guard = Context::current_with_value("here").attach();
///     local.spawn_local_with_current_context(async { Context::current().get::<&str>().copied() })
/// };
/// assert_eq!(local.run_until(task).await.unwrap(), Some("here"));
/// # }
/// ```
pub trait LocalSetExt: Sealed {
    /// [`LocalSet::spawn_local`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn spawn_local_with_context<S, F>(&self, context: S, future: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + 'static,
        F: Future + 'static,
        F::Output: 'static;

    /// [`LocalSet::spawn_local`], with the context that is current now.
    #[track_caller]
    fn spawn_local_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local_with_context(Context::capture(), future)
    }
}

impl Sealed for LocalSet {}

impl LocalSetExt for LocalSet {
    fn spawn_local_with_context<S, F>(&self, context: S, future: F) -> JoinHandle<F::Output>
    where
        S: Snapshot + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local(bind("LocalSet::spawn_local", future, context))
    }
}
