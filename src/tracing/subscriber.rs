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

/// A thread's default subscriber, which is attached only where another one may be the default.
#[derive(Clone, Debug)]
pub(super) struct ThreadDefault {
    subscriber: Dispatch,
    /// Where tracing keeps it, if it is the global one, which is the same place for all threads.
    global: Option<usize>,
}

impl ThreadDefault {
    pub(super) fn capture() -> Self {
        get_default(|subscriber| Self {
            subscriber: subscriber.clone(),
            global: (!any_is_scoped(subscriber)).then(|| address(subscriber)),
        })
    }

    pub(super) const fn subscriber(&self) -> &Dispatch {
        &self.subscriber
    }

    /// Whether this thread has it as its default, for all that can be told: no, if it is a thread's own.
    #[inline]
    pub(super) fn is_default(&self) -> bool {
        self.global.is_some_and(|global| get_default(|subscriber| address(subscriber) == global))
    }

    pub(super) fn attach(&self) -> Option<DefaultGuard> {
        // Where all see the global one, it may have been set meanwhile, and is to be seen.
        let needless =
            self.is_default() || self.global.is_some() && get_default(|subscriber| !any_is_scoped(subscriber));
        (!needless).then(|| dispatcher::set_default(&self.subscriber))
    }
}

/// Takes what `get_default` gives, and tells whether any thread has a default of its own. If none has, all see the global
/// one.
///
/// Assumption 7 of `registry.rs`.
fn any_is_scoped(subscriber: &Dispatch) -> bool {
    get_default(|nested| !ptr::eq(subscriber, nested))
}

fn address(subscriber: &Dispatch) -> usize {
    ptr::from_ref(subscriber).addr()
}
