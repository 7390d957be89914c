use std::{
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
};

use super::registry::Aside;
use crate::{ContextGuard, snapshot::storage_is_alive};
use ::tracing::{dispatcher::DefaultGuard, span::EnteredSpan};

/// Detaches what [`tracing::Span`], [`tracing::Dispatch`] or [`TracingSnapshot`](super::TracingSnapshot) attached.
///
/// Of two guards, that of the inner one detaches first, in whatever order they are dropped: dropped first, the outer one
/// waits for the inner one. So threads stay clean where guards cannot be dropped in order, as in rayon's iterators; and one
/// that is forgotten (`mem::forget`) holds those around it forever. One that is dropped while its thread ends does the same,
/// because the
/// thread-locals of the layers may be gone by then.
#[must_use = "dropping the guard at once detaches the snapshot"]
pub struct Guard {
    /// Where it lies on this thread's stack; `None` where nothing was attached, because the thread ends.
    position: Option<usize>,
    not_send: PhantomData<*const ()>,
}

/// In the order in which it is detached.
#[derive(Default)]
#[expect(dead_code, reason = "held for their drops")]
pub(super) struct Attached {
    pub(super) context: Option<ContextGuard>,
    pub(super) span: Option<EnteredSpan>,
    pub(super) aside: Option<Aside>,
    pub(super) subscriber: Option<DefaultGuard>,
}

impl Guard {
    pub(super) fn new(attached: Attached) -> Self {
        let position = GUARDS.try_with(|guards| guards.push(attached)).ok();
        Self { position, not_send: PhantomData }
    }

    /// Of nothing.
    pub(super) const fn none() -> Self {
        Self { position: None, not_send: PhantomData }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(position) = self.position else { return };
        // While the thread ends, what it would leave may be gone already. So it stays entered, and its span stays open.
        if !thread_ends() {
            let _ = GUARDS.try_with(|guards| guards.detach(position));
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// What this thread's guards stand for, the innermost last.
struct Guards(RefCell<Vec<Slot>>);

struct Slot {
    // Of a guard that was forgotten, it must not be dropped with the thread: what it detaches from is gone by then.
    attached: ManuallyDrop<Attached>,
    /// Its guard was dropped, and it waits for those above it.
    detached: bool,
}

impl Guards {
    fn push(&self, attached: Attached) -> usize {
        let mut slots = self.0.borrow_mut();
        slots.push(Slot { attached: ManuallyDrop::new(attached), detached: false });
        slots.len() - 1
    }

    fn detach(&self, position: usize) {
        self.0.borrow_mut()[position].detached = true;
        while let Some(attached) = self.pop_detached() {
            drop(attached);
        }
    }

    /// Apart from the drop, in which layers and destructors may attach again.
    fn pop_detached(&self) -> Option<Attached> {
        let mut slots = self.0.borrow_mut();
        if !slots.last()?.detached {
            return None;
        }
        slots.pop().map(|slot| ManuallyDrop::into_inner(slot.attached))
    }
}

thread_local!(static GUARDS: Guards = const { Guards(RefCell::new(Vec::new())) });

/// What is known of this thread's end.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Thread {
    Ends,
    Unwatched,
    /// Something was captured or attached.
    Watched,
    /// A span was entered.
    Entered,
}

/// Says that the thread ends. The thread-local that is initialised last is destroyed first, so a watch has to be started after the
/// thread-locals that it watches have come into being.
struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        THREAD.set(Thread::Ends);
    }
}

thread_local! {
    /// Without a destructor, so that it can be read at any time.
    static THREAD: Cell<Thread> = const { Cell::new(Thread::Unwatched) };

    /// Of OpenTelemetry's thread-local, which its layer uses.
    static WATCH: Watch = const { Watch };

    /// Of the thread-locals of all layers, which they may initialise when they first enter a span.
    static WATCH_ENTERED: Watch = const { Watch };
}

/// Whether the thread-locals of the subscriber and its layers may be gone, because this thread ends; using them would
/// panic, which in a destructor means to abort.
#[inline]
pub(super) fn thread_ends() -> bool {
    THREAD.get() < Thread::Watched && !start_watch()
}

/// Fails while the thread ends.
#[cold]
#[inline(never)]
fn start_watch() -> bool {
    let starts = THREAD.get() == Thread::Unwatched && storage_is_alive() && WATCH.try_with(|_| ()).is_ok();
    THREAD.set(if starts { Thread::Watched } else { Thread::Ends });
    starts
}

/// To be called once the layers have entered a span on this thread.
#[inline]
pub(super) fn watch_entered() {
    if THREAD.get() < Thread::Entered {
        start_watch_entered();
    }
}

#[cold]
#[inline(never)]
fn start_watch_entered() {
    if WATCH_ENTERED.try_with(|_| ()).is_ok() {
        THREAD.set(Thread::Entered);
    }
}
