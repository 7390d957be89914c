//! What strict mode knows of this thread: the hop whose work it does, and who has attached what is attached.
//!
//! OpenTelemetry tells of each attach. It does not tell of a guard that is dropped out of order, so the list is corrected where
//! a hop's work ends.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use super::{guard::Guard, hop::Alive};

#[derive(Default)]
struct Thread {
    /// The hop whose work this thread does.
    current: RefCell<Option<Arc<Alive>>>,
    /// What is attached, the innermost last.
    frames: RefCell<Vec<Frame>>,
    /// The next attach is this crate's.
    attaching: Cell<bool>,
    /// The next attach is of a hop's mark.
    marking: Cell<bool>,
    /// The latest `Context::capture` found no span.
    captured_nothing: Cell<Option<bool>>,
}

struct Frame {
    /// `None` for this crate's own attach.
    by: Option<Guard>,
    /// It has outlived a hop's work.
    leaked: bool,
}

thread_local!(static THREAD: Thread = Thread::default());

/// Does nothing where the thread ends.
fn with<R: Default>(f: impl FnOnce(&Thread) -> R) -> R {
    THREAD.try_with(f).unwrap_or_default()
}

pub(super) fn current() -> Option<Arc<Alive>> {
    with(|thread| thread.current.borrow().clone())
}

pub(super) fn replace_current(alive: Option<Arc<Alive>>) -> Option<Arc<Alive>> {
    with(|thread| thread.current.replace(alive))
}

pub(super) fn set_captured(nothing: bool) {
    with(|thread| thread.captured_nothing.set(Some(nothing)));
}

/// Whether the latest capture found no span; `None` if there was none since this was asked.
pub(super) fn take_captured() -> Option<bool> {
    with(|thread| thread.captured_nothing.take())
}

pub(super) fn attaching() {
    with(|thread| thread.attaching.set(true));
}

pub(super) fn not_attached() {
    with(|thread| thread.attaching.set(false));
}

/// Attaches the mark of a hop, which is no loss where there is no room.
pub(super) fn marking<R>(attach: impl FnOnce() -> R) -> R {
    with(|thread| thread.marking.set(true));
    let attached = attach();
    with(|thread| thread.marking.set(false));
    attached
}

pub(super) fn is_marking() -> bool {
    with(|thread| thread.marking.get())
}

/// So many attaches are remembered. A guard that is dropped out of order leaves its own behind.
const MAX_FRAMES: usize = 1_024;

/// Called while OpenTelemetry has its current context borrowed.
pub(super) fn entered() {
    with(|thread| {
        let own = thread.attaching.take();
        let by = (!own).then(Guard::new);
        let mut frames = thread.frames.borrow_mut();
        if frames.len() == MAX_FRAMES {
            frames.remove(0);
        }
        frames.push(Frame { by, leaked: false });
    });
}

/// Called while OpenTelemetry has its current context borrowed.
pub(super) fn exited() {
    with(|thread| drop(thread.frames.borrow_mut().pop()));
}

pub(super) fn depth() -> usize {
    with(|thread| thread.frames.borrow().len())
}

/// What was attached by others than this crate, if it lies on top.
pub(super) fn foreign_on_top() -> Option<Guard> {
    with(|thread| thread.frames.borrow().last().and_then(|frame| frame.by.clone()))
}

/// After the work of a hop that left everything as it was.
pub(super) fn truncate(depth: usize) {
    with(|thread| thread.frames.borrow_mut().truncate(depth));
}

/// After the work of a hop that left something attached: the guards that others attached in it.
pub(super) fn leaked_above(depth: usize) -> Vec<Guard> {
    with(|thread| {
        let mut frames = thread.frames.borrow_mut();
        // This crate's own contexts of the work are detached, in whatever order.
        let mut at = 0;
        frames.retain(|frame| {
            at += 1;
            at <= depth || frame.by.is_some()
        });
        let above = frames.iter_mut().skip(depth);
        above
            .filter_map(|frame| {
                frame.leaked = true;
                frame.by.clone()
            })
            .collect()
    })
}

/// The work of another hop begins while guards that have leaked are still attached.
pub(super) fn count_leaked() {
    with(|thread| {
        let frames = thread.frames.borrow();
        frames.iter().filter(|frame| frame.leaked).filter_map(|frame| frame.by.as_ref()).for_each(Guard::seen_again);
    });
}
