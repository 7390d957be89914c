use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{Context, trace::Span as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

use super::{
    TraceTree,
    origin::{Origin, Recorded},
    tree::{Key, key},
};

/// Keeps the spans of a recorder, and wakes who waits for them.
#[derive(Clone, Default)]
pub(super) struct Store(Arc<Shared>);

#[derive(Default)]
struct Shared {
    spans: Mutex<Spans>,
    changed: Condvar,
}

#[derive(Default)]
struct Spans {
    finished: Vec<Recorded>,
    /// As they were when they started.
    open: HashMap<Key, Recorded>,
    /// Differs whenever a waiting condition is worth another look.
    version: u64,
    wakers: Vec<Waker>,
}

impl Spans {
    fn open(&self) -> Vec<Recorded> {
        let mut open: Vec<_> = self.open.values().cloned().collect();
        open.sort_by(|Recorded { span: a, .. }, Recorded { span: b, .. }| {
            (a.start_time, &a.name).cmp(&(b.start_time, &b.name))
        });
        open
    }

    fn tree(&self) -> TraceTree {
        TraceTree::with_open(self.finished.iter().cloned(), self.open())
    }
}

impl Store {
    /// The spans are whole at any time, so those behind a poisoned lock are as good.
    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the spans, then wakes all who wait. The lock is free by then, because a waker may run anything.
    fn change<R>(&self, change: impl FnOnce(&mut Spans) -> R) -> R {
        let mut spans = self.lock();
        let result = change(&mut spans);
        spans.version += 1;
        let wakers = mem::take(&mut spans.wakers);
        drop(spans);
        self.0.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    pub(super) fn finished(&self) -> Vec<SpanData> {
        self.lock().finished.iter().map(|recorded| recorded.span.clone()).collect()
    }

    pub(super) fn open(&self) -> Vec<SpanData> {
        self.lock().open().into_iter().map(|recorded| recorded.span).collect()
    }

    /// What tells this store of the spans of one provider.
    pub(super) fn processor(&self) -> Processor {
        Processor { store: self.clone(), origin: Origin::default() }
    }

    pub(super) fn tree(&self) -> TraceTree {
        self.lock().tree()
    }

    pub(super) fn clear(&self) {
        drop(self.change(|spans| mem::take(&mut spans.finished)));
    }

    /// Looks at the tree whenever it changes, on this thread.
    pub(super) fn wait(&self, limit: Duration, mut condition: impl FnMut(&TraceTree) -> bool) -> Waited {
        let start = Instant::now();
        loop {
            let (version, waited) = self.look(start, limit, &mut condition);
            if let Poll::Ready(waited) = waited {
                return waited;
            }
            let spans = self.lock();
            if spans.version == version {
                let left = limit.saturating_sub(start.elapsed());
                drop(self.0.changed.wait_timeout(spans, left));
            }
        }
    }

    /// As [`wait`](Self::wait), from a future's `poll`.
    pub(super) fn poll(
        &self,
        start: Instant,
        limit: Duration,
        mut condition: impl FnMut(&TraceTree) -> bool,
        waker: &Waker,
    ) -> Poll<Waited> {
        loop {
            let (version, waited) = self.look(start, limit, &mut condition);
            if waited.is_ready() {
                return waited;
            }
            let mut spans = self.lock();
            if spans.version == version {
                if !spans.wakers.iter().any(|known| known.will_wake(waker)) {
                    spans.wakers.push(waker.clone());
                }
                return Poll::Pending;
            }
        }
    }

    /// The lock is free while the condition runs, because the condition may use the recorder.
    fn look(
        &self,
        start: Instant,
        limit: Duration,
        condition: &mut impl FnMut(&TraceTree) -> bool,
    ) -> (u64, Poll<Waited>) {
        // First the clock: a change before the end of the limit is always looked at.
        let over = start.elapsed() >= limit;
        let spans = self.lock();
        let (version, tree) = (spans.version, spans.tree());
        drop(spans);
        let waited = if condition(&tree) {
            Poll::Ready(Ok(tree))
        } else if over {
            Poll::Ready(Err(tree))
        } else {
            Poll::Pending
        };
        (version, waited)
    }

    /// Wakes all who wait once the limit is over. Drop what it returns to stop the timer.
    pub(super) fn timer(&self, limit: Duration) -> mpsc::Sender<()> {
        let (alive, stopped) = mpsc::channel();
        let store = self.clone();
        thread::spawn(move || {
            if stopped.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                store.change(|_| {});
            }
        });
        alive
    }
}

/// The tree in which the condition held, or the last one in which it did not.
pub(super) type Waited = Result<TraceTree, TraceTree>;

/// Puts the spans of one provider into a store.
///
/// It is a processor and not an exporter: the SDK's simple processor blocks on its exporter, which panics when a span
/// ends inside `futures::executor::block_on`, and its batching processor needs a flush.
#[derive(Debug)]
pub(super) struct Processor {
    store: Store,
    origin: Origin,
}

impl Processor {
    fn recorded(&self, span: SpanData) -> Recorded {
        Recorded { span, origin: self.origin.clone() }
    }
}

impl SpanProcessor for Processor {
    fn on_start(&self, span: &mut Span, _: &Context) {
        if span.span_context().is_sampled() {
            if let Some(span) = span.exported_data() {
                self.store.change(|spans| spans.open.insert(key(&span), self.recorded(span)));
            }
        }
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.store.change(|spans| {
                spans.open.remove(&key(&span));
                spans.finished.push(self.recorded(span));
            });
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// A provider that is shut down does not tell of the end of a span, so its open spans are forgotten here.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        let gone = self.store.change(|spans| {
            let open = mem::take(&mut spans.open);
            let (gone, open) = open.into_iter().partition(|(_, recorded)| recorded.origin.is(&self.origin));
            spans.open = open;
            gone
        });
        drop::<HashMap<_, _>>(gone);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.origin = Origin::new(resource);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = self.lock();
        write!(f, "{} finished, {} open", spans.finished.len(), spans.open.len())
    }
}
