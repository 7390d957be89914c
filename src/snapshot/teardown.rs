//! A thread's end: whether OpenTelemetry's thread-local still lives.

use std::{cell::Cell, panic::catch_unwind};

use opentelemetry::Context;

/// Whether OpenTelemetry's thread-local still lives on this thread; using it after its destruction would panic,
/// which in a destructor means to abort.
#[inline]
pub(super) fn storage_is_alive() -> bool {
    STORAGE_IS_ALIVE.get() || watch_storage()
}

/// The first time on each thread, and once the storage is gone.
#[cold]
fn watch_storage() -> bool {
    let probe = |_: &StorageWatch| {
        // Fails where the storage is gone before its watch was first needed; or is borrowed, which it is not for long.
        let alive = touch_storage();
        STORAGE_IS_ALIVE.set(alive);
        alive
    };
    STORAGE_WATCH.try_with(probe).unwrap_or(false)
}

/// Initialises OpenTelemetry's thread-local, if it can still be used.
fn touch_storage() -> bool {
    catch_unwind(|| Context::map_current(|_| ())).is_ok()
}

thread_local! {
    /// Constant and without a destructor, so that to read it is a single load, at any time. Set by its watch alone.
    static STORAGE_IS_ALIVE: Cell<bool> = const { Cell::new(false) };

    /// Dies just before OpenTelemetry's thread-local does: std destroys a thread's locals in the reverse order of their
    /// initialisation, and to initialise this one is to initialise that one first. Where a platform's std should do
    /// otherwise, destructors of thread-locals are back to OpenTelemetry's panics, and all else is as it was.
    static STORAGE_WATCH: StorageWatch = StorageWatch::new();
}

struct StorageWatch;

impl StorageWatch {
    fn new() -> Self {
        // For its effect alone; whether it worked is asked later.
        touch_storage();
        StorageWatch
    }
}

impl Drop for StorageWatch {
    fn drop(&mut self) {
        STORAGE_IS_ALIVE.set(false);
    }
}
