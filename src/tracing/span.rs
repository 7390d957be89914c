use ::tracing::{
    Span,
    dispatcher::{self, Dispatch},
    span::{self, EnteredSpan},
};

use super::{
    guard::{Attached, Guard, thread_ends, watch_entered},
    registry::{self, Aside},
};
use crate::Snapshot;

/// `Span::capture()` is [`Span::current()`], and to attach is to enter, so that layers see it: those of OpenTelemetry make
/// the span's context current, too.
///
/// Exactly this span is entered:
///
/// - Spans that others have entered on this thread are set aside, in a [`Registry`](tracing_subscriber::Registry), where this
///   span's work would see them: if this span is none or disabled, by a layer whose filter this span does not pass, and where this
///   span is entered further down already.
///   Layers are not told, because those spans go on. Leave the spans that are set aside after the guard is dropped, not before.
/// - A span that is current already is entered once more, because the OpenTelemetry context may be another one meanwhile.
///
/// While a thread ends, once it has attached one, `capture` gives no span, and `attach` does nothing.
impl Snapshot for Span {
    type Guard = Guard;

    fn capture() -> Self {
        if thread_ends() { Span::none() } else { Span::current() }
    }

    fn attach(self) -> Guard {
        if thread_ends() {
            return Guard::none();
        }
        let (span, aside) = enter(self);
        Guard::new(Attached { span, aside, ..Attached::default() })
    }

    /// As the provided method, but enters the span where it lies: to clone one and drop it costs as much again.
    #[inline]
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        run(self, false, f)
    }
}

pub(super) fn is_current(span: &Span) -> bool {
    !thread_ends() && span.id().is_some_and(|id| current(span) == Some(id))
}

/// `unless_current`: a context is attached after the span, so that nothing is missed where it is current already and not
/// entered.
///
/// All but the usual case lies out of line: a span, on a thread where none is entered.
#[inline(always)]
pub(super) fn run<R>(span: &Span, unless_current: bool, f: impl FnOnce() -> R) -> R {
    if thread_ends() {
        return run_without(f);
    }
    let other = span.with_subscriber(|(id, subscriber)| Some((subscriber.current_span().id()?.clone(), id.clone())));
    match other {
        Some(None) => {}
        Some(Some((innermost, id))) => return run_instead(span, &id, unless_current && innermost == id, f),
        None => return run_disabled(span, f),
    }
    let _entered = span.enter();
    watch_entered();
    f()
}

#[cold]
#[inline(never)]
fn run_without<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Of a span that is none or disabled, no layer knows.
#[inline(never)]
fn run_disabled<R>(span: &Span, f: impl FnOnce() -> R) -> R {
    let _aside = if current(span).is_some() { hide(span) } else { None };
    let _entered = span.enter();
    f()
}

/// Where there is a current span already.
#[inline(never)]
fn run_instead<R>(span: &Span, id: &span::Id, is_current: bool, f: impl FnOnce() -> R) -> R {
    if is_current {
        return f();
    }
    // Dropped last.
    let _aside;
    let _entered = span.enter();
    watch_entered();
    _aside = bring_up(span, id);
    f()
}

/// Enters a span for a guard.
pub(super) fn enter(span: Span) -> (Option<EnteredSpan>, Option<Aside>) {
    let innermost = current(&span);
    let id = span.id();
    let aside = match (&innermost, &id) {
        (Some(_), None) => hide(&span),
        _ => None,
    };
    let entered = span.entered();
    watch(&entered);
    let aside = match (innermost, &id) {
        (Some(_), Some(id)) => bring_up(&entered, id),
        _ => aside,
    };
    (Some(entered), aside)
}

/// Call it once the span is entered.
#[inline]
fn watch(span: &Span) {
    // Of no others do the layers know.
    if !span.is_disabled() {
        watch_entered();
    }
}

/// What is current on this thread for the span's subscriber; for that of the thread if the span has none.
#[inline]
fn current(span: &Span) -> Option<span::Id> {
    of_subscriber(span, |subscriber| subscriber.current_span().id().cloned())
}

#[inline]
fn of_subscriber<R>(span: &Span, mut f: impl FnMut(&Dispatch) -> R) -> R {
    match span.with_subscriber(|(_, subscriber)| f(subscriber)) {
        Some(result) => result,
        None => dispatcher::get_default(f),
    }
}

/// For a span that is none or disabled.
fn hide(span: &Span) -> Option<Aside> {
    of_subscriber(span, registry::hide_all)
}

/// For a span that has just been entered.
fn bring_up(span: &Span, id: &span::Id) -> Option<Aside> {
    of_subscriber(span, |subscriber| registry::bring_up(subscriber, id))
}
