//! What has to be known before OpenTelemetry's thread-local is used: whether it still lives, and when somebody has to look
//! how full it is.

use std::{cell::Cell, panic::catch_unwind};

use opentelemetry::Context;

/// Whether OpenTelemetry's thread-local still lives on this thread. Using it after its destruction would panic, which in
/// a destructor means to abort.
#[inline]
pub(crate) fn storage_is_alive() -> bool {
    STORAGE_IS_ALIVE.get() || watch_storage()
}

/// As [`storage_is_alive`], where this thread has attached something before.
#[inline]
pub(super) fn storage_lives() -> bool {
    STORAGE_IS_ALIVE.get()
}

/// How often this thread may attach until it has to look again; not at all when it begins, and when it ends.
pub(super) struct Attaches;

impl Attaches {
    /// One instruction tells the usual case from all others.
    #[inline]
    pub(super) fn take_one() -> bool {
        let (left, none_left) = ATTACHES.get().overflowing_sub(1);
        ATTACHES.set(left);
        !none_left
    }

    pub(super) fn grant(attaches: u32) {
        ATTACHES.set(attaches);
    }
}

/// The first time on each thread, and once the storage is gone.
#[cold]
fn watch_storage() -> bool {
    let probe = |_: &StorageWatch| {
        // Fails where the storage is gone before its watch was first needed.
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

    /// Without a destructor, too.
    static ATTACHES: Cell<u32> = const { Cell::new(0) };

    /// Dies just before OpenTelemetry's thread-local does: std destroys a thread's locals in the reverse order of their
    /// initialisation, and to initialise this one is to initialise that one first. Should a platform's std do otherwise,
    /// destructors of thread-locals are back to OpenTelemetry's panics, and all else is as it was.
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
        ATTACHES.set(0);
    }
}
