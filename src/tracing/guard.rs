use std::{
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
};

use ::tracing::{dispatcher::DefaultGuard, span::EnteredSpan};
use opentelemetry::ContextGuard;

use super::span::Aside;

/// Detaches what [`tracing::Span`], [`tracing::Dispatch`] or [`TracingSnapshot`](super::TracingSnapshot) attached.
///
/// Of two guards, that of the inner one detaches first, in whatever order they are dropped: dropped first, the outer one
/// waits for the inner one. So threads stay clean where guards cannot be dropped in order, as in rayon's iterators; and one
/// that is forgotten (`mem::forget`) holds those around it for ever.
#[must_use = "dropping the guard at once detaches the snapshot"]
pub struct Guard {
    /// Where it lies on this thread's stack; `None` where nothing was attached, as the thread ends.
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
        if let Some(position) = self.position {
            // Fails where the thread ends. What is attached still ends with it.
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
#[derive(Clone, Copy, PartialEq)]
enum Thread {
    Unwatched,
    Watched,
    Ends,
}

struct Watch;

impl Drop for Watch {
    fn drop(&mut self) {
        THREAD.set(Thread::Ends);
    }
}

thread_local! {
    /// Without a destructor, so that it can be read at any time.
    static THREAD: Cell<Thread> = const { Cell::new(Thread::Unwatched) };

    static WATCH: Watch = const { Watch };
}

/// Whether the thread-locals of the subscriber and its layers may be gone, as this thread ends; using them would panic,
/// which in a destructor means to abort.
#[inline]
pub(super) fn thread_ends() -> bool {
    THREAD.get() == Thread::Ends
}

/// To be called once the layers have entered a span on this thread: what is initialised last is destroyed first, and so the watch goes
/// before the thread-locals of the layers.
#[inline]
pub(super) fn watch_thread() {
    if THREAD.get() == Thread::Unwatched {
        start_watch();
    }
}

#[cold]
#[inline(never)]
fn start_watch() {
    THREAD.set(Thread::Watched);
    // Fails where the thread ends already. Then its first span has been entered, and the next will be, too.
    let _ = WATCH.try_with(|_| ());
}
