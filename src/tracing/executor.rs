//! [`crate::executor`]'s type, capturing a [`TracingSnapshot`] at each submit.

use super::TracingSnapshot;

/// [`executor::Propagating`](crate::executor::Propagating), which captures the current [`TracingSnapshot`] at each submit.
///
/// # Examples
///
/// ```
/// use ctxhop::tracing::executor::Propagating;
/// use futures::{executor::LocalPool, task::LocalSpawnExt};
/// use tracing::{Span, info_span};
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
///
/// let mut pool = LocalPool::new();
/// let executor = Propagating::capturing(pool.spawner());
/// let name = async { Span::current().metadata().map(|span| span.name()) };
/// let task = info_span!("order").in_scope(|| executor.spawn_local_with_handle(name)).unwrap();
/// assert_eq!(pool.run_until(task), Some("order"));
/// ```
pub type Propagating<E> = crate::executor::Propagating<E, TracingSnapshot>;
