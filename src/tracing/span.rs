use std::{array, iter, sync::LazyLock};

use ::tracing::{
    Span, Subscriber as _,
    dispatcher::{self, Dispatch},
    span::{self, EnteredSpan},
};
use tracing_subscriber::{
    filter::FilterId,
    registry::{LookupSpan, Registry, SpanData},
};

use super::guard::{Attached, Guard, thread_ends, watch_entered};
use crate::Snapshot;

/// `Span::capture()` is [`Span::current()`], and to attach is to enter, so that layers see it: those of OpenTelemetry make
/// the span's context current, too.
///
/// Exactly this span is entered:
///
/// - What others have entered on this thread is set aside, in a [`Registry`], where it would be seen: by a span that is none
///   or disabled, by a layer whose filter this span does not pass, and where this span is entered further down already.
///   Layers are not told, for those spans go on. What is set aside is to be left after the guard is dropped, not before.
/// - A span that is current already is entered once more, as the OpenTelemetry context may be another one meanwhile.
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
#[inline]
pub(super) fn run<R>(span: &Span, unless_current: bool, f: impl FnOnce() -> R) -> R {
    if thread_ends() {
        return run_without(f);
    }
    if let Some(innermost) = current(span) {
        return run_instead(span, unless_current, &innermost, f);
    }
    let _entered = span.enter();
    watch(span);
    f()
}

#[cold]
#[inline(never)]
fn run_without<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Where there is a current span already.
#[inline(never)]
fn run_instead<R>(span: &Span, unless_current: bool, innermost: &span::Id, f: impl FnOnce() -> R) -> R {
    let id = span.id();
    if unless_current && id.as_ref() == Some(innermost) {
        return f();
    }
    // Dropped last.
    let mut _aside = if id.is_none() { hide(span) } else { None };
    let _entered = span.enter();
    watch(span);
    if let Some(id) = &id {
        _aside = bring_up(span, id);
    }
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

/// To be called once the span is entered.
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
    of_subscriber(span, |subscriber| Aside::take(subscriber, subscriber.downcast_ref()?))
}

/// For a span that has just been entered. Mostly it is enough that it is on top of the others.
fn bring_up(span: &Span, id: &span::Id) -> Option<Aside> {
    of_subscriber(span, |subscriber| {
        let registry = subscriber.downcast_ref::<Registry>()?;
        // Entered further down already, it has stayed there.
        let is_on_top = registry.current_span().id() == Some(id);
        if is_on_top && passes_every_filter(registry, id) { None } else { bring_up_alone(subscriber, registry, id) }
    })
}

#[cold]
fn bring_up_alone(subscriber: &Dispatch, registry: &Registry, id: &span::Id) -> Option<Aside> {
    registry.exit(id);
    let aside = Aside::take(subscriber, registry);
    registry.enter(id);
    aside
}

/// A layer whose filter the span does not pass goes by the next one that is entered.
fn passes_every_filter(registry: &Registry, id: &span::Id) -> bool {
    /// All that there can be: they are numbered, and mean the same in each registry.
    static FILTERS: LazyLock<[FilterId; 64]> = LazyLock::new(|| {
        let mut registry = Registry::default();
        array::from_fn(|_| registry.register_filter())
    });
    registry
        .span_data(id)
        .is_none_or(|span| FILTERS.iter().fold(true, |passes, filter| passes & span.is_enabled_for(*filter)))
}

/// The spans that were entered on this thread. They are entered again when it is dropped.
///
/// Nothing tells whether one of them was left meanwhile. Then it stays, until it is closed.
pub(super) struct Aside {
    subscriber: Dispatch,
    innermost: span::Id,
    /// Those around it, from the inside out; mostly none, which needs no allocation.
    around: Vec<span::Id>,
}

impl Aside {
    /// Takes them from the registry alone: were the layers told, that of OpenTelemetry would detach the spans' contexts,
    /// and could not put them back where they were, below those attached since.
    fn take(subscriber: &Dispatch, registry: &Registry) -> Option<Self> {
        let innermost = take_current(registry)?;
        let around = iter::from_fn(|| take_current(registry)).collect();
        Some(Self { subscriber: subscriber.clone(), innermost, around })
    }
}

fn take_current(registry: &Registry) -> Option<span::Id> {
    let current = registry.current_span();
    let id = current.id()?;
    registry.exit(id);
    Some(id.clone())
}

impl Drop for Aside {
    fn drop(&mut self) {
        let Some(registry) = self.subscriber.downcast_ref::<Registry>() else { return };
        for id in self.around.iter().rev().chain([&self.innermost]) {
            if registry.span_data(id).is_some() {
                registry.enter(id);
            }
        }
    }
}
