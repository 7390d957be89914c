use opentelemetry::{Context, ContextGuard};

use super::{Snapshot, teardown::storage_is_alive};

/// On a `Context`, `cx.attach()` is OpenTelemetry's own method; the trait's is `Snapshot::attach(cx)`.
///
/// While a thread ends and its thread-locals are being destroyed, there may be no current context any more. Then
/// `capture` gives an empty context and `attach` does nothing, so that destructors of other thread-locals can still
/// drop, run and send what this crate has wrapped.
impl Snapshot for Context {
    type Guard = Option<ContextGuard>;

    #[inline]
    fn capture() -> Self {
        if storage_is_alive() { Context::current() } else { Context::new() }
    }

    #[inline]
    fn attach(self) -> Self::Guard {
        if storage_is_alive() { Some(Context::attach(self)) } else { discard(self) }
    }

    /// As the provided method, with no option to look into at the end: this is what every poll goes through.
    #[inline]
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        if !storage_is_alive() {
            return run_without(f);
        }
        let _guard = Context::attach(self.clone());
        f()
    }
}

#[cold]
#[inline(never)]
fn run_without<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Out of line, so that `attach` can pass `self` on where it lies, rather than keep it for a drop of its own.
#[cold]
#[inline(never)]
fn discard(_: Context) -> Option<ContextGuard> {
    None
}
