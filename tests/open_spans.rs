//! What keeps a span open, and the call that does not: a test for each row of the table in `src/manual/open_spans.md`, with spans of
//! OpenTelemetry and with spans of `tracing`.

#[path = "support/tracing.rs"]
mod support;

use std::{any::Any, future::pending, sync::mpsc};

use ctxhop::{ContextExt, Snapshot, executor::Propagating, prelude::*, tracing::TracingSnapshot};
use futures::{FutureExt, StreamExt, stream, task::SpawnExt};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use support::Rig;
use tokio::{
    sync::{broadcast, oneshot, watch},
    task::JoinSet,
};
use tracing::{Instrument, dispatcher, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A snapshot of a request, of either kind.
trait Request: Snapshot + Clone + Send + Sync + Unpin + 'static {
    const WITH: &str;
    fn start(rig: &Rig) -> Self;
    fn parent_only(&self) -> Self;
    fn end(&self);
}

impl Request for Context {
    const WITH: &str = "opentelemetry";

    fn start(rig: &Rig) -> Self {
        Self::new().with_span(rig.tracer().start("request"))
    }

    fn parent_only(&self) -> Self {
        ContextExt::parent_only(self)
    }

    fn end(&self) {
        self.span().end();
    }
}

impl Request for TracingSnapshot {
    const WITH: &str = "tracing";

    fn start(_: &Rig) -> Self {
        info_span!("request").in_scope(Self::capture)
    }

    fn parent_only(&self) -> Self {
        self.parent_only()
    }

    fn end(&self) {
        self.span().context().span().end();
    }
}

/// What a row leaves behind. Its drop is what the table calls "until".
type Held = Box<dyn Any>;

/// Checks that what `hold` returns keeps the request's span open, and does not with the parent's identity alone.
#[track_caller]
fn check<R: Request>(hold: impl Fn(R) -> Held) {
    let rig = Rig::new();
    let _default = dispatcher::set_default(&rig.dispatch());
    let open = || rig.recorder.open_spans().len();

    let held = hold(R::start(&rig));
    assert_eq!(open(), 1, "{}: it is held", R::WITH);
    drop(held);
    assert_eq!(open(), 0, "{}: it is let go", R::WITH);

    let request = R::start(&rig);
    let held = hold(request.parent_only());
    assert_eq!(open(), 1, "{}: by the request", R::WITH);
    drop(request);
    assert_eq!(open(), 0, "{}: with the parent only", R::WITH);
    drop(held);

    let request = R::start(&rig);
    let held = hold(request.clone());
    request.end();
    assert_eq!(open(), 0, "{}: ended by hand", R::WITH);
    drop((request, held));
    assert_eq!(rig.recorder.spans().len(), 3, "{}: each has ended once", R::WITH);
}

/// A test for each kind of request. `hold` is a block that is generic over `R: Request`.
macro_rules! row {
    ($name:ident, |$request:ident| $hold:expr) => {
        #[test]
        fn $name() {
            fn hold<R: Request>($request: R) -> Held {
                Box::new($hold)
            }
            check::<Context>(hold);
            check::<TracingSnapshot>(hold);
        }
    };
}

/// Runs its tasks until they wait, and drops them with it.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

// Also a purge task, and an accept loop.
row!(a_fire_and_forget_task, |request| {
    let runtime = runtime();
    runtime.block_on(async { drop(ctxhop::tokio::spawn_with_context(request, pending::<()>())) });
    runtime
});

row!(a_long_lived_thread, |request| {
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = ctxhop::thread::spawn_with_context(request, move || {
        let _ = stopped.recv();
    });
    OnDrop(Some(move || {
        drop(stop);
        thread.join().unwrap();
    }))
});

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0.take().expect("once")();
    }
}

/// The connection that a client opens in the first request's context, and gives to its executor.
#[test]
fn a_pooled_connection() {
    fn open_in<R: Request>(propagating: bool) -> usize {
        let rig = Rig::new();
        let _default = dispatcher::set_default(&rig.dispatch());
        let pool = futures::executor::LocalPool::new();
        R::start(&rig).run(|| {
            let connection = pending();
            if propagating {
                Propagating::<_, R>::capturing(pool.spawner()).spawn(connection).unwrap();
            } else {
                pool.spawner().spawn(connection).unwrap();
            }
        });
        let open = rig.recorder.open_spans().len();
        drop(pool);
        assert!(rig.recorder.open_spans().is_empty(), "the pool has closed it");
        open
    }
    assert_eq!([open_in::<Context>(true), open_in::<Context>(false)], [1, 0]);
    assert_eq!([open_in::<TracingSnapshot>(true), open_in::<TracingSnapshot>(false)], [1, 0]);
}

row!(a_task_of_a_set_that_nobody_joins, |request| {
    let (runtime, mut set) = (runtime(), JoinSet::new());
    runtime.block_on(async { set.spawn_with_context(request, pending::<()>()) });
    (set, runtime)
});

/// A task that has finished holds nothing, although its result waits in the set.
#[test]
fn a_task_of_a_set_that_has_finished() {
    let rig = Rig::new();
    let request = Context::start(&rig);
    runtime().block_on(async {
        let (done, is_done) = oneshot::channel();
        let mut set = JoinSet::new();
        set.spawn_with_context(request, async { done.send(()).unwrap() });
        is_done.await.unwrap();
        tokio::task::yield_now().await;
        assert!(rig.recorder.open_spans().is_empty());
        assert_eq!(set.len(), 1);
    });
}

row!(a_queued_message, |request| {
    let (tx, rx) = mpsc::channel();
    tx.send_with_context(request, "message").unwrap();
    (tx, rx)
});

row!(the_last_value_of_a_watch, |request| {
    let (tx, mut rx) = watch::channel("first".with_context(request.parent_only()));
    drop(tx.send_replace_with_context(request, "last"));
    assert_eq!(rx.borrow_and_update().run_ref(|value| *value), "last", "it was received, and stays");
    (tx, rx)
});

#[test]
fn the_next_send_of_a_watch_lets_the_last_one_go() {
    let rig = Rig::new();
    let (tx, _rx) = watch::channel(1.detached());
    drop(tx.send_replace_with_context(Context::start(&rig), 2));
    assert_eq!(rig.recorder.open_spans().len(), 1);
    drop(tx.send_replace_with_context(ContextExt::parent_only(&Context::start(&rig)), 3));
    assert!(rig.recorder.open_spans().is_empty());
}

row!(what_a_broadcast_has_in_its_buffer, |request| {
    let (tx, idle) = broadcast::channel(1);
    assert!(tx.send_with_context(request, "message").is_ok());
    (tx, idle)
});

row!(a_callback_that_is_registered, |request| {
    let callback: Box<dyn Fn(u32) -> u32> = Box::new(request.wrap_fn(|n: u32| n + 1));
    assert_eq!(callback(1), 2, "it was called, and stays");
    callback
});

row!(a_shared_future_that_nobody_polls_to_its_end, |request| {
    let shared = pending::<()>().with_context(request).shared();
    assert_eq!(shared.clone().now_or_never(), None);
    shared
});

#[test]
fn a_shared_future_that_has_ended() {
    let rig = Rig::new();
    let shared = async { 7 }.with_context(Context::start(&rig)).shared();
    assert_eq!(shared.clone().now_or_never(), Some(7));
    assert!(rig.recorder.open_spans().is_empty());
    assert_eq!(shared.peek(), Some(&7));
}

row!(a_stream_that_has_ended_and_is_kept, |request| {
    let mut ended = Box::pin(stream::iter([1]).with_context(request));
    assert_eq!(ended.as_mut().collect::<Vec<_>>().now_or_never().unwrap(), [1]);
    ended
});

#[test]
fn a_stream_that_is_taken_out() {
    let rig = Rig::new();
    let ended = stream::iter([0; 0]).with_context(Context::start(&rig));
    let _stream = ended.into_inner();
    assert!(rig.recorder.open_spans().is_empty());
}

/// It lies on a thread of its own, with which it goes nowhere.
#[test]
fn a_guard_that_is_forgotten() {
    fn open_after<R: Request>() -> usize {
        let rig = Rig::new();
        let dispatch = rig.dispatch();
        let worker = rig.clone();
        std::thread::spawn(move || {
            dispatcher::with_default(&dispatch, || {
                let request = R::start(&worker);
                request.run(|| ());
                std::mem::forget(request.attach());
            });
        })
        .join()
        .unwrap();
        rig.recorder.open_spans().len()
    }
    assert_eq!(open_after::<TracingSnapshot>(), 1);
    // The guard of OpenTelemetry's API keeps its place on the thread's stack, and the stack goes with the thread.
    assert_eq!(open_after::<Context>(), 0);
}

/// The other way round: what does not hold a span, and is sometimes feared to.
#[test]
fn what_is_done_holds_nothing() {
    let rig = Rig::new();
    let _default = dispatcher::set_default(&rig.dispatch());
    runtime().block_on(async {
        let task = info_span!("request").in_scope(|| ctxhop::tracing::tokio::spawn(async {}));
        let instrumented = async {}.instrument(info_span!("request")).with_context(Context::new());
        instrumented.await;
        task.await.unwrap();
    });
    assert!(rig.recorder.open_spans().is_empty());
}
