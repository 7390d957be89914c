//! [`tracing`](::tracing), and with it the OpenTelemetry context, across every hop.

mod guard;
#[cfg(feature = "rayon")]
pub mod rayon;
mod snapshot;
mod span;
mod subscriber;
pub mod thread;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use guard::Guard;
pub use snapshot::TracingSnapshot;

use crate::Snapshot;

/// Wraps a closure that runs once, to run in the [`TracingSnapshot`] of now: `TracingSnapshot::capture().wrap(f)`.
///
/// Like [`ctxhop::wrap`](crate::wrap).
#[must_use = "the closure does nothing unless called"]
pub fn wrap<F, R>(f: F) -> impl FnOnce() -> R
where
    F: FnOnce() -> R,
{
    TracingSnapshot::capture().wrap(f)
}
