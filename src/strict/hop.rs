//! What the bound wrapper tells strict mode: that a hop was made, that its work begins and ends, and that its context is let go.

use std::{
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry::{Context, SpanId, TraceId, trace::TraceContextExt};

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
        let from = thread::current().map(|alive| Arc::clone(&alive.origin));
        let depth = from.as_ref().map_or(0, |from| from.depth + 1);
        let from = from.filter(|_| depth < MAX_DEPTH);
        let origin = Arc::new(Origin { name, at, depth: if from.is_some() { depth } else { 0 }, from });
        let lost = ledger.captured(&origin, captured_nothing);
        let alive =
            Alive { id: IDS.fetch_add(1, Ordering::Relaxed), span: context().and_then(held_span), origin, lost };
        ledger.hold(alive.id, &alive.origin, alive.span);
        Self(Some(Arc::new(alive)))
    }

    /// The work begins on this thread. It ends with the border, which has to be dropped after the hop's context is detached.
    pub(crate) fn enter(&self) -> Border {
        Border { _inside: self.0.as_ref().map(Inside::new) }
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
    span.is_recording().then(|| (id.trace_id(), id.span_id()))
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
        thread::attaching();
    }
}

/// A context could not be attached: OpenTelemetry has no room for it on this thread.
pub(crate) fn full() {
    if let Some(ledger) = ledger() {
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
}

struct Mark(u64);

impl Inside {
    fn new(alive: &Arc<Alive>) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        thread::count_leaked();
        let below = thread::depth();
        let mark = Snapshot::attach(current_context().with_value(Mark(number)));
        Self { mark: Some(mark), number, outer: thread::replace_current(Some(Arc::clone(alive))), below }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let alive = thread::replace_current(self.outer.take());
        let Some(mark) = self.mark.take() else { return };
        let is_marked = current_context().get::<Mark>().is_some_and(|mark| mark.0 == self.number);
        drop(mark);
        let leaked = if is_marked {
            thread::truncate(self.below);
            return;
        } else {
            thread::leaked_above(self.below)
        };
        if let (Some(ledger), Some(alive)) = (ledger(), alive) {
            ledger.leaked(&alive.origin, leaked);
        }
    }
}
