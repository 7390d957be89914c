use ::tracing::{
    Span, Subscriber as _,
    dispatcher::{self, Dispatch},
    span::{self, EnteredSpan},
};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::guard::{Attached, Guard, thread_ends, watch_thread};
use crate::Snapshot;

/// `Span::capture()` is [`Span::current()`], and to attach is to enter, so that layers see it: those of OpenTelemetry make
/// the span's context current, too.
///
/// Exactly this span is entered:
///
/// - What others have entered on this thread is set aside, in a [`Registry`]: neither does a span that is none or disabled
///   see it, nor does a layer whose filter this span does not pass. Layers are not told, for those spans go on.
/// - A span that is current already is not entered once more.
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
        if thread_ends() {
            return run_without(f);
        }
        if let Some(innermost) = current(self) {
            return run_instead(self, innermost, f);
        }
        let _entered = self.enter();
        watch(self);
        f()
    }
}

#[cold]
#[inline(never)]
fn run_without<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Where there is a current span already.
#[inline(never)]
fn run_instead<R>(span: &Span, innermost: span::Id, f: impl FnOnce() -> R) -> R {
    if span.id().is_some_and(|id| id == innermost) {
        return f();
    }
    let _aside = set_aside(span, innermost);
    let _entered = span.enter();
    watch(span);
    f()
}

/// Enters a span for a guard; nothing, if it is current already.
pub(super) fn enter(span: Span) -> (Option<EnteredSpan>, Option<Aside>) {
    let aside = match current(&span) {
        Some(innermost) if span.id().is_some_and(|id| id == innermost) => return (None, None),
        Some(innermost) => set_aside(&span, innermost),
        None => None,
    };
    let entered = span.entered();
    watch(&entered);
    (Some(entered), aside)
}

/// To be called once the span is entered.
#[inline]
fn watch(span: &Span) {
    // Of no others do the layers know.
    if !span.is_disabled() {
        watch_thread();
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

fn set_aside(span: &Span, innermost: span::Id) -> Option<Aside> {
    of_subscriber(span, |subscriber| Aside::new(subscriber, innermost.clone()))
}

/// The spans that were entered on this thread. They are entered again when it is dropped.
pub(super) struct Aside {
    subscriber: Dispatch,
    innermost: span::Id,
    /// Those around it, from the inside out; mostly none, which needs no allocation.
    around: Vec<span::Id>,
}

impl Aside {
    /// Takes them from the registry alone: were the layers told, that of OpenTelemetry would detach the spans' contexts,
    /// and could not put them back where they were, below those attached since.
    fn new(subscriber: &Dispatch, innermost: span::Id) -> Option<Self> {
        let registry = subscriber.downcast_ref::<Registry>()?;
        registry.exit(&innermost);
        let mut around = Vec::new();
        while let Some(id) = registry.current_span().id() {
            registry.exit(id);
            around.push(id.clone());
        }
        Some(Self { subscriber: subscriber.clone(), innermost, around })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let Some(registry) = self.subscriber.downcast_ref::<Registry>() else { return };
        for id in self.around.iter().rev().chain([&self.innermost]) {
            // Not there any more, if whoever has entered it has left it meanwhile.
            if registry.span_data(id).is_some() {
                registry.enter(id);
            }
        }
    }
}
