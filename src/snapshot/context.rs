use std::{fmt, mem};

use opentelemetry::{Context, ContextGuard as OtelGuard};

use super::{
    Snapshot,
    depth::{self, Place},
    teardown::{Attaches, storage_is_alive, storage_lives},
};
use crate::trail;

/// On a `Context`, `cx.attach()` is OpenTelemetry's own method; the trait's is `Snapshot::attach(cx)`.
///
/// While a thread ends and its thread-locals are being destroyed, there may be no current context any more. Then
/// `capture` gives an empty context and `attach` does nothing, so that destructors of other thread-locals can still
/// drop, run and send what this crate has wrapped. [The limits](crate::manual::limits#in-the-process) name a gap for programs with
/// `panic = "abort"`.
///
/// OpenTelemetry has room for 65,534 contexts on a thread, and silently ignores what is attached beyond that. This
/// implementation goes on: it lends the last place to whichever of its contexts is the innermost. There is one limit: where
/// others have taken the last place, by a guard that was forgotten or by a recursion of their own, nothing can be attached
/// above it. Then the work runs all the same, in the context that is current there.
impl Snapshot for Context {
    type Guard = ContextGuard;

    #[inline]
    fn capture() -> Self {
        let current = if storage_is_alive() { Context::current() } else { Context::new() };
        trail::captured(&current);
        current
    }

    #[inline]
    fn attach(self) -> ContextGuard {
        if !Attaches::take_one() {
            return attach_looking(self);
        }
        trail::attaching();
        ContextGuard(Attached::Theirs(Context::attach(self)))
    }

    /// As the provided method, with no guard of ours to look into at the end: this is what every poll goes through.
    #[inline]
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        if !Attaches::take_one() {
            return run_looking(self.clone(), f);
        }
        trail::attaching();
        let _guard = Context::attach(self.clone());
        f()
    }

    /// As the provided method, in the same way.
    #[inline]
    fn run_once<R>(self, f: impl FnOnce() -> R) -> R {
        if !Attaches::take_one() {
            return run_looking(self, f);
        }
        trail::attaching();
        let _guard = Context::attach(self);
        f()
    }

    #[inline]
    fn opentelemetry(&self) -> Option<&Context> {
        Some(self)
    }
}

/// Detaches a [`Context`] when dropped. Made by [`Snapshot::attach`].
///
/// Unlike OpenTelemetry's own guard, it may be kept in a thread-local, and be dropped while the thread ends.
#[must_use = "dropping the guard at once detaches the context"]
pub struct ContextGuard(Attached);

/// Detached by the drops of what is in it.
enum Attached {
    #[expect(dead_code, reason = "held for its drop")]
    Theirs(OtelGuard),
    #[expect(dead_code, reason = "held for its drop")]
    Beyond(depth::Guard),
    Nothing,
}

impl Drop for ContextGuard {
    #[inline]
    fn drop(&mut self) {
        if !storage_lives() {
            // The thread ends, and the guard would look for a thread-local that is gone.
            mem::forget(mem::replace(&mut self.0, Attached::Nothing));
        }
    }
}

impl fmt::Debug for ContextGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextGuard").finish_non_exhaustive()
    }
}

#[cold]
#[inline(never)]
fn run_looking<R>(context: Context, f: impl FnOnce() -> R) -> R {
    let _guard = attach_looking(context);
    f()
}

/// Where a look is due: the thread begins or ends, or the stack may be full.
#[cold]
#[inline(never)]
fn attach_looking(context: Context) -> ContextGuard {
    Attaches::grant(0);
    if !storage_is_alive() {
        return ContextGuard(Attached::Nothing);
    }
    trail::attaching();
    ContextGuard(match depth::attach(context) {
        Place::Theirs(guard, attaches) => {
            Attaches::grant(attaches);
            Attached::Theirs(guard)
        }
        Place::Ours(guard) => Attached::Beyond(guard),
        Place::None => {
            trail::full();
            Attached::Nothing
        }
    })
}
