//! What the bound wrapper tells strict mode: that a hop was made, that its work begins and ends, and that its context is let go.

use std::{
    fmt::{self, Write as _},
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry::{
    Context, SpanId, TraceId,
    trace::{SpanRef, TraceContextExt},
};

use super::{ledger, thread};
use crate::Snapshot;

/// Which hop: its name, where it was called, and the hops that led there.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) name: &'static str,
    pub(super) at: &'static Location<'static>,
    pub(super) from: Option<Arc<Origin>>,
    depth: usize,
}

/// The hops that led to a hop are remembered up to this number.
const MAX_DEPTH: usize = 8;

pub(super) type SpanKey = (TraceId, SpanId);

/// A hop whose context is not let go yet. Clones are one hop.
#[derive(Clone, Debug)]
pub(crate) struct Hop(Option<Arc<Alive>>);

#[derive(Debug)]
pub(super) struct Alive {
    id: u64,
    pub(super) origin: Arc<Origin>,
    /// The span that the context holds open; none if the context has only its identity.
    pub(super) span: Option<SpanKey>,
    /// It was to carry what was current, which was nothing, while spans were open.
    pub(super) lost: bool,
}

impl Hop {
    /// `context`: that of the snapshot, if it has one.
    #[track_caller]
    pub(crate) fn new<'a>(name: &'static str, context: impl FnOnce() -> Option<&'a Context>) -> Self {
        Self::at(name, Location::caller(), context)
    }

    pub(crate) fn at<'a>(
        name: &'static str,
        at: &'static Location<'static>,
        context: impl FnOnce() -> Option<&'a Context>,
    ) -> Self {
        let Some(ledger) = ledger() else { return Self(None) };
        static IDS: AtomicU64 = AtomicU64::new(0);
        let captured_nothing = thread::take_captured();
        let enclosing = thread::current();
        // In the work of a hop that carries nothing on purpose, there is nothing to lose.
        let on_purpose = enclosing.as_ref().is_some_and(|enclosing| !enclosing.lost);
        let from = enclosing.map(|alive| Arc::clone(&alive.origin));
        let depth = from.as_ref().map_or(0, |from| from.depth + 1);
        let from = from.filter(|_| depth <= MAX_DEPTH);
        let origin = Arc::new(Origin { name, at, depth: if from.is_some() { depth } else { 0 }, from });
        let (id, span) = (IDS.fetch_add(1, Ordering::Relaxed), context().and_then(held_span));
        let lost = ledger.made(id, &origin, captured_nothing.map(|nothing| nothing && !on_purpose), span);
        Self(Some(Arc::new(Alive { id, origin, span, lost })))
    }

    /// The hop whose work this thread does, for parts of that work on other threads.
    #[cfg(feature = "rayon")]
    pub(crate) fn around() -> Self {
        Self(ledger().and_then(|_| thread::current()))
    }

    /// The work begins on this thread, if this is no part of it already. It ends with the border, which has to be dropped after the hop's
    /// context is detached.
    pub(crate) fn enter(&self) -> Border {
        let begins =
            self.0.as_ref().filter(|alive| thread::current().is_none_or(|current| !Arc::ptr_eq(&current, alive)));
        Border { _inside: begins.and_then(|alive| Inside::new(alive, Panics::Allowed)) }
    }

    /// As [`enter`](Self::enter), where a panic would take a runtime's worker with it.
    #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
    pub(crate) fn enter_in_hook(&self) -> Border {
        Border { _inside: self.0.as_ref().and_then(|alive| Inside::new(alive, Panics::Never)) }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(ledger) = ledger() {
            ledger.release(self.id, self.span);
        }
    }
}

/// As `Context::capture`, which works while the thread ends; but no hop's capture.
fn current_context() -> Context {
    let current = Context::capture();
    thread::take_captured();
    current
}

fn held_span(cx: &Context) -> Option<SpanKey> {
    let span = cx.span();
    let id = span.span_context();
    holds_span(&span).then(|| (id.trace_id(), id.span_id()))
}

/// Whether there is more to a span than its identity.
///
/// `is_recording` would tell, but it locks the span, and a processor may make a hop while the span's end has it locked. The
/// `Debug` of a span says `inner: Some(…)`, and is stopped there, before it looks at the span itself.
fn holds_span(span: &SpanRef<'_>) -> bool {
    struct Inner(String);

    impl fmt::Write for Inner {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.push_str(text);
            if self.0.ends_with("inner: Some") { Err(fmt::Error) } else { Ok(()) }
        }
    }

    // It fails where it was stopped.
    write!(Inner(String::new()), "{span:?}").is_err()
}

/// `Context::capture` was called.
pub(crate) fn captured(cx: &Context) {
    if ledger().is_some() {
        thread::set_captured(!cx.span().span_context().is_valid());
    }
}

/// This crate attaches a context, and nobody else does.
pub(crate) fn attaching() {
    if ledger().is_some() {
        // Whoever attaches what was captured makes no hop of it.
        thread::take_captured();
        thread::attaching();
    }
}

/// What was captured before is no hop's.
pub(crate) fn explicit() {
    if ledger().is_some() {
        thread::take_captured();
    }
}

/// A context could not be attached: OpenTelemetry has no room for it on this thread.
pub(crate) fn full() {
    let Some(ledger) = ledger() else { return };
    thread::not_attached();
    if !thread::is_marking() {
        ledger.full();
    }
}

/// A message was received: no stranger's span may be current here.
#[track_caller]
pub(crate) fn received(call: &'static str) {
    let Some(ledger) = ledger() else { return };
    if !Context::map_current(|cx| cx.span().span_context().is_valid()) {
        return;
    }
    if let Some(guard) = thread::foreign_on_top() {
        ledger.non_root((call, Location::caller()), guard);
    }
}

/// Around the work of a hop.
pub(crate) struct Border {
    _inside: Option<Inside>,
}

/// A context with a mark lies below the hop's: if the mark is not current again after the work, a
/// guard that the work attached is still attached.
struct Inside {
    mark: Option<<Context as Snapshot>::Guard>,
    number: u64,
    outer: Option<Arc<Alive>>,
    below: usize,
    panics: Panics,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Panics {
    Allowed,
    Never,
}

struct Mark(u64);

impl Inside {
    /// `None` where no mark can be attached: the thread ends, or is full.
    fn new(alive: &Arc<Alive>, panics: Panics) -> Option<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        thread::count_leaked();
        let below = thread::depth();
        let mark = thread::marking(|| Snapshot::attach(current_context().with_value(Mark(number))));
        if !is_marked(number) {
            return None;
        }
        let outer = thread::replace_current(Some(Arc::clone(alive)));
        Some(Self { mark: Some(mark), number, outer, below, panics })
    }
}

fn is_marked(number: u64) -> bool {
    current_context().get::<Mark>().is_some_and(|mark| mark.0 == number)
}

impl Drop for Inside {
    fn drop(&mut self) {
        let alive = thread::replace_current(self.outer.take());
        let Some(mark) = self.mark.take() else { return };
        let is_marked = is_marked(self.number);
        drop(mark);
        if is_marked {
            return thread::truncate(self.below);
        }
        let leaked = thread::leaked_above(self.below);
        if let (Some(ledger), Some(alive)) = (ledger(), alive) {
            ledger.leaked(&alive.origin, leaked, self.panics);
        }
    }
}
