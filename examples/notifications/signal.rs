//! How a process that serves learns that it is enough.

use std::io;

/// Waits for an interrupt (Ctrl-C) or a request to terminate.
///
/// # Errors
///
/// If the system does not tell this process of signals.
#[cfg(unix)]
pub(crate) async fn until_told_to_stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

/// Waits for an interrupt (Ctrl-C).
///
/// # Errors
///
/// If the system does not tell this process of signals.
#[cfg(not(unix))]
pub(crate) async fn until_told_to_stop() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
