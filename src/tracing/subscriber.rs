use std::ptr;

use ::tracing::dispatcher::{self, DefaultGuard, Dispatch, get_default};

use super::guard::{Attached, Guard};
use crate::Snapshot;

/// `Dispatch::capture()` is this thread's default subscriber, and to attach is to make it the default.
///
/// Use it where threads have default subscribers of their own, as in tests. While one is attached, somewhere in the
/// process, all of tracing's macros take longer, on all threads; [`TracingSnapshot`](super::TracingSnapshot) attaches one
/// only where there is more than the global one.
impl Snapshot for Dispatch {
    type Guard = Guard;

    fn capture() -> Self {
        get_default(Dispatch::clone)
    }

    fn attach(self) -> Guard {
        Guard::new(Attached { subscriber: Some(dispatcher::set_default(&self)), ..Attached::default() })
    }

    #[inline]
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        dispatcher::with_default(self, f)
    }
}

/// A thread's default subscriber, which is attached only where it makes a difference.
#[derive(Clone, Debug)]
pub(super) struct ThreadDefault {
    pub(super) subscriber: Dispatch,
    /// Whether any thread had a default of its own when this was captured.
    scoped: bool,
}

impl ThreadDefault {
    pub(super) fn capture() -> Self {
        Self { subscriber: Dispatch::capture(), scoped: any_is_scoped() }
    }

    #[inline]
    pub(super) fn attach(&self) -> Option<DefaultGuard> {
        (self.scoped || any_is_scoped()).then(|| dispatcher::set_default(&self.subscriber))
    }
}

/// Whether any thread has a default of its own; if none has, all see the global one.
///
/// Nested, `get_default` gives no subscriber, except where it has only the global one to give. Then it gives the same one
/// twice. Should that exception go, the answer is always yes, which is slower, and as right.
#[inline]
fn any_is_scoped() -> bool {
    get_default(|outer| get_default(|inner| !ptr::eq(outer, inner)))
}
