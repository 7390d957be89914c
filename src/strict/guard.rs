use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::caller::Caller;

/// A guard that others than this crate have attached.
#[derive(Clone)]
pub(super) struct Guard(Arc<Attached>);

struct Attached {
    by: Caller,
    /// How many hops have begun their work since it leaked, while it was attached.
    seen: AtomicU64,
}

impl Guard {
    /// Attached by the caller.
    pub(super) fn new() -> Self {
        Self(Arc::new(Attached { by: Caller::capture(), seen: AtomicU64::new(0) }))
    }

    pub(super) fn attached_by(&self) -> &Caller {
        &self.0.by
    }

    pub(super) fn seen_again(&self) {
        self.0.seen.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn seen(&self) -> u64 {
        self.0.seen.load(Ordering::Relaxed)
    }
}
