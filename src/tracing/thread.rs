//! [`crate::thread`]'s function, with all of [`TracingSnapshot`](super::TracingSnapshot).

use std::thread::JoinHandle;

use super::wrap;

/// [`std::thread::spawn`], with the [`TracingSnapshot`](super::TracingSnapshot) of now.
///
/// Like [`ctxhop::thread::spawn`](crate::thread::spawn).
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    std::thread::spawn(wrap(f))
}
