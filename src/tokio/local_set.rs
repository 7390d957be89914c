use ::tokio::task::{JoinHandle, LocalSet};

use crate::Propagate;

/// Spawns of [`tokio::task::LocalSet`] that carry the context.
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
pub trait LocalSetExt {
    /// [`LocalSet::spawn_local`], with the context that is current now.
    fn spawn_local_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static;
}

impl LocalSetExt for LocalSet {
    #[track_caller]
    fn spawn_local_with_current_context<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_local(future.with_current_context())
    }
}
