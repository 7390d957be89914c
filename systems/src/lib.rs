//! What the systems' programs and tests share.

mod collector;
mod otlp;
#[path = "../../examples/notifications/signal.rs"]
mod signal;

use std::io;

pub use collector::{Collector, Spans};

/// Waits until the process is interrupted or terminated.
///
/// # Errors
///
/// If the system does not tell this process of signals.
pub async fn until_told_to_stop() -> io::Result<()> {
    signal::until_told_to_stop().await
}
