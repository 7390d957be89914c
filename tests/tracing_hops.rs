//! Every kind of hop with `TracingSnapshot`, on the global subscriber, as services have it. To install that is why this is
//! a test binary of its own.
//!
//! Each row submits a probe in a request's span, from where another span is current, to a worker that is in a span of its
//! own; and once more in no span at all. The probe tells what it saw while it ran and when it was dropped.

#[path = "support/tracing.rs"]
mod support;

use std::{
    collections::HashSet,
    sync::{
        Barrier, LazyLock, Mutex, MutexGuard, Once, PoisonError,
        mpsc::{self, Sender},
    },
    task::{self, Waker},
    thread::{self, ThreadId},
};

use ctxhop::{executor::Propagating, tracing::prelude::*};
use futures::{SinkExt, StreamExt, future, stream, task::SpawnExt};
use rayon::prelude::*;
use support::{Rig, Seen};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinSet};
use tracing::{Instrument, Span, info_span};

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let rig = Rig::new();
    tracing::subscriber::set_global_default(rig.subscriber()).unwrap();
    rig
});

/// The rig, for one test at a time.
fn rig() -> (&'static Rig, MutexGuard<'static, ()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    RIG.recorder.clear();
    RIG.log.take();
    (&RIG, guard)
}

/// Part of the work: it tells what it sees, and what it sees when it is dropped.
struct Probe(Sender<(&'static str, Seen)>);

impl Probe {
    fn saw(&self, event: &'static str) {
        self.0.send((event, Seen::now())).unwrap();
        RIG.work();
    }

    async fn saw_twice(self) {
        self.saw("first poll");
        tokio::task::yield_now().await;
        self.saw("last poll");
    }

    async fn saw_and_hangs(self, started: oneshot::Sender<()>) {
        self.saw("first poll");
        started.send(()).unwrap();
        future::pending::<()>().await;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.send(("drop", Seen::now())).unwrap();
    }
}

/// Checks that a hop's work sees what is current where it is submitted, makes its children there, and lets its span close.
///
/// `hop` submits the work with what it is given, from inside the request, and waits until it is done.
#[track_caller]
fn check<H: Future<Output = ()>>(name: &str, events: &[&'static str], hop: impl Fn(Submit, Probe) -> H) {
    let (rig, _one) = rig();
    for in_request in [true, false] {
        let (tx, rx) = mpsc::channel();
        let request = if in_request { info_span!("request", id = 7) } else { Span::none() };
        let expected = if in_request { Seen::of(&request) } else { Seen::NOTHING };
        let submit = Submit(request.in_scope(TracingSnapshot::capture));
        drop(request);

        let stranger = info_span!("stranger", id = 8);
        stranger.in_scope(|| RUNTIME.block_on(hop(submit, Probe(tx))));
        drop(stranger);
        assert_eq!(Seen::now(), Seen::NOTHING, "{name}: afterwards");

        let seen: Vec<_> = rx.iter().collect();
        let all: Vec<_> = events.iter().chain(&["drop"]).map(|event| (*event, expected.clone())).collect();
        assert_eq!(seen, all, "{name}, in a request: {in_request}");

        let tree = rig.recorder.tree();
        let line = if in_request { "request id=7: inside" } else { "inside" };
        assert_eq!(rig.log.take(), vec![line; events.len()], "{name}: log");
        if in_request {
            let request = tree.find("request").unwrap_or_else(|| panic!("{name}: the request's span has not closed"));
            let mut children: Vec<_> = request.children().iter().map(|child| child.name()).collect();
            children.sort_unstable();
            let n = events.len();
            assert_eq!(children, [vec!["by opentelemetry"; n], vec!["by tracing"; n]].concat(), "{name}: children");
        }
        let of_a_stranger = tree.find_all("stranger").flat_map(|stranger| stranger.children());
        assert!(of_a_stranger.into_iter().all(|child| child.name() == "stranger"), "{name}: {tree}");
        rig.recorder.clear();
    }
}

/// Two workers, and two more for blocking work, each in a span of its own for good.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(|| std::mem::forget(info_span!("stranger", id = "worker").entered()))
        .build()
        .unwrap()
});

/// To submit in the request; then it holds its span no more.
struct Submit(TracingSnapshot);

impl Submit {
    fn run<R>(self, submit: impl FnOnce() -> R) -> R {
        self.0.run(submit)
    }
}

// ---- Threads, tasks and executors ------------------------------------------------------------------------------------

#[test]
fn threads() {
    check("thread::spawn", &["run"], async |submit, probe| {
        submit.run(|| ctxhop::tracing::thread::spawn(move || probe.saw("run"))).join().unwrap();
    });
    check("wrap", &["run"], async |submit, probe| {
        let job = submit.run(|| ctxhop::tracing::wrap(move || probe.saw("run")));
        thread::spawn(job).join().unwrap();
    });
    check("wrap, not called", &[], async |submit, probe| {
        drop(submit.run(|| ctxhop::tracing::wrap(move || probe.saw("run"))));
    });
}

#[test]
fn tasks() {
    check("tokio::spawn", &["first poll", "last poll"], async |submit, probe| {
        submit.run(|| ctxhop::tracing::tokio::spawn(probe.saw_twice())).await.unwrap();
    });
    check("tokio::spawn_blocking", &["run"], async |submit, probe| {
        submit.run(|| ctxhop::tracing::tokio::spawn_blocking(move || probe.saw("run"))).await.unwrap();
    });
    check("tokio::spawn_local", &["first poll", "last poll"], async |submit, probe| {
        let local = tokio::task::LocalSet::new();
        let spawned = async {
            submit.run(|| ctxhop::tracing::tokio::spawn_local(probe.saw_twice())).await.unwrap();
        };
        local.run_until(spawned).await;
    });
    check("JoinSet", &["first poll", "last poll"], async |submit, probe| {
        let mut set = JoinSet::new();
        submit.run(|| set.spawn_with_current_span(probe.saw_twice()));
        set.join_next().await.unwrap().unwrap();
    });
    check("Propagating", &["first poll", "last poll"], async |submit, probe| {
        let mut pool = futures::executor::LocalPool::new();
        let executor = Propagating::<_, TracingSnapshot>::capturing(pool.spawner());
        submit.run(|| executor.spawn(probe.saw_twice())).unwrap();
        pool.run();
    });
}

#[test]
fn cancellation() {
    check("aborted", &["first poll"], async |submit, probe| {
        let (started, has_started) = oneshot::channel();
        let task = submit.run(|| ctxhop::tracing::tokio::spawn(probe.saw_and_hangs(started)));
        has_started.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    check("dropped half-way", &["first poll"], async |submit, probe| {
        let (started, _has_started) = oneshot::channel();
        let mut task = Box::pin(submit.run(|| probe.saw_and_hangs(started).with_current_span()));
        assert!(task.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
        drop(task);
    });
    check("panics", &["first poll"], async |submit, probe| {
        let task = async move {
            probe.saw("first poll");
            std::panic::panic_any("own");
        };
        let error = submit.run(|| ctxhop::tracing::tokio::spawn(task)).await.unwrap_err();
        assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"own"));
    });
}

// ---- Channels, streams and sinks -------------------------------------------------------------------------------------

#[test]
fn channels() {
    check("std, run", &["run"], async |submit, probe| {
        let (tx, rx) = mpsc::channel();
        submit.run(|| tx.send_with_current_span(probe).unwrap());
        thread::spawn(move || rx.recv().unwrap().run(|probe| probe.saw("run"))).join().unwrap();
    });
    check("tokio, run_async", &["first poll", "last poll"], async |submit, probe| {
        let (tx, mut rx) = tokio::sync::mpsc::channel(1);
        submit.run(|| tx.try_send_with_current_span(probe).unwrap());
        let worker = async move { rx.recv().await.unwrap().run_async(Probe::saw_twice).await };
        tokio::spawn(worker.instrument(info_span!("stranger"))).await.unwrap();
    });
    check("never received", &[], async |submit, probe| {
        let (tx, rx) = mpsc::channel();
        submit.run(|| tx.send_with_current_span(probe).unwrap());
        drop(rx);
    });
}

#[test]
fn streams_and_sinks() {
    check("stream", &["item", "item"], async |submit, probe| {
        let items = stream::unfold((probe, 0), |(probe, n)| async move {
            if n == 2 {
                return None;
            }
            probe.saw("item");
            Some((n, (probe, n + 1)))
        });
        let items = submit.run(|| items.with_current_span());
        tokio::spawn(async { assert_eq!(items.collect::<Vec<_>>().await, [0, 1]) }).await.unwrap();
    });
    check("sink", &["item"], async |submit, probe| {
        let sink = futures::sink::unfold(probe, |probe, ()| async move {
            probe.saw("item");
            Ok::<_, ()>(probe)
        });
        let mut sink = Box::pin(submit.run(|| sink.with_current_span()));
        // Not closed, as what is closed is let go, and then dropped where it is.
        tokio::spawn(async move { sink.send(()).await.unwrap() }).await.unwrap();
    });
}

// ---- Rayon -----------------------------------------------------------------------------------------------------------

/// Makes the global pool, whose two workers are each in a span of its own for good.
fn global_pool() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        LazyLock::force(&RIG);
        let in_a_span = |_| std::mem::forget(info_span!("stranger", id = "worker").entered());
        rayon::ThreadPoolBuilder::new().num_threads(2).start_handler(in_a_span).build_global().unwrap();
    });
}

/// Asserts that the workers are where they were; by then they have let go of whatever they did.
#[track_caller]
fn assert_workers_clean() {
    for seen in rayon::broadcast(|_| Seen::now()) {
        assert_eq!(seen.span, Some("stranger"));
        assert_ne!(seen.otel, None);
    }
}

#[test]
fn rayon_spawns() {
    global_pool();
    type Spawn = fn(Box<dyn FnOnce() + Send>);
    for (name, spawn) in [
        ("rayon::spawn", ctxhop::tracing::rayon::spawn as Spawn),
        ("rayon::spawn_fifo", ctxhop::tracing::rayon::spawn_fifo as Spawn),
    ] {
        check(name, &["run"], async |submit, probe| {
            let (done, is_done) = mpsc::channel();
            submit.run(|| {
                spawn(Box::new(move || {
                    probe.saw("run");
                    drop(probe);
                    done.send(()).unwrap();
                }));
            });
            is_done.recv().unwrap();
            assert_workers_clean();
        });
    }
    check("rayon::spawn_broadcast", &["run", "run"], async |submit, probe| {
        let (done, is_done) = mpsc::channel();
        submit.run(|| {
            ctxhop::tracing::rayon::spawn_broadcast(move |_| {
                probe.saw("run");
                done.send(()).unwrap();
            });
        });
        assert_eq!(is_done.iter().count(), 2);
        assert_workers_clean();
    });
}

/// Notes on which thread it is called, and returns once it has been called on two.
struct TwoThreads(Barrier, Mutex<HashSet<ThreadId>>);

impl TwoThreads {
    fn new() -> Self {
        Self(Barrier::new(2), Mutex::default())
    }

    fn meet(&self) {
        self.1.lock().unwrap().insert(thread::current().id());
        self.0.wait();
    }

    fn assert(self) {
        assert_eq!(self.1.into_inner().unwrap().len(), 2);
    }
}

#[test]
fn rayon_waits() {
    global_pool();
    check("rayon::join", &["run", "run"], async |submit, probe| {
        let threads = TwoThreads::new();
        submit.run(|| {
            let run = || {
                threads.meet();
                probe.saw("run");
            };
            ctxhop::tracing::rayon::join(run, run);
            drop(probe);
        });
        threads.assert();
        assert_workers_clean();
    });
    check("rayon::scope", &["scope", "spawn"], async |submit, probe| {
        submit.run(|| {
            ctxhop::tracing::rayon::scope(|scope| {
                probe.saw("scope");
                scope.spawn_with_current_span(move |_| probe.saw("spawn"));
            });
        });
        assert_workers_clean();
    });
    check("rayon::scope_fifo", &["scope"], async |submit, probe| {
        submit.run(|| ctxhop::tracing::rayon::scope_fifo(move |_| probe.saw("scope")));
        assert_workers_clean();
    });
    check("rayon::broadcast", &["run", "run"], async |submit, probe| {
        submit.run(|| {
            let threads = ctxhop::tracing::rayon::broadcast(|at| {
                probe.saw("run");
                at.index()
            });
            assert_eq!(threads, [0, 1]);
            drop(probe);
        });
        assert_workers_clean();
    });
}

/// A worker that waits in a span takes another job, which was submitted in the span around it.
#[test]
fn a_job_is_in_its_own_span_also_where_that_is_entered_further_down() {
    let (_rig, _one) = rig();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let outer = info_span!("outer");
        let inner = info_span!("inner");
        outer.in_scope(|| {
            let wait = || {
                inner.in_scope(|| {
                    assert_eq!(rayon::yield_local(), Some(rayon::Yield::Executed));
                    assert_eq!(Seen::now(), Seen::of(&inner), "afterwards");
                });
            };
            let ((), seen) = ctxhop::tracing::rayon::join(wait, Seen::now);
            assert_eq!(seen, Seen::of(&outer));
        });
        assert_eq!(Seen::now(), Seen::NOTHING);
    });
}

#[test]
fn parallel_iterators() {
    global_pool();
    check("pushed", &["item", "item"], async |submit, probe| {
        let threads = TwoThreads::new();
        submit.run(|| {
            (0..2)
                .into_par_iter()
                .with_max_len(1)
                .inside_current_span(|items| items.map(|_| threads.meet()))
                .for_each(|()| probe.saw("item"));
            drop(probe);
        });
        threads.assert();
        assert_workers_clean();
    });
    check("pulled", &["item", "item"], async |submit, probe| {
        let threads = TwoThreads::new();
        submit.run(|| {
            let mut seen = (0..2)
                .into_par_iter()
                .with_max_len(1)
                .inside_current_span(|items| {
                    let items = items.map(|n| {
                        threads.meet();
                        probe.saw("item");
                        n
                    });
                    items.chunks(1).enumerate()
                })
                .collect::<Vec<_>>();
            seen.sort();
            assert_eq!(seen, [(0, vec![0]), (1, vec![1])]);
            drop(probe);
        });
        threads.assert();
        assert_workers_clean();
    });
}

/// rayon drops the guards of a zip in the order in which they were made.
#[test]
fn a_zip_of_two_leaves_the_workers_clean() {
    global_pool();
    let (rig, _one) = rig();
    let [left, right] = ["left", "right"].map(|name| {
        let items = info_span!("request", name).in_scope(TracingSnapshot::capture);
        (0..1000).into_par_iter().with_context(items).map(|n| n)
    });
    assert_eq!(left.zip(right).map(|(left, right)| left + right).max(), Some(1998));
    assert_workers_clean();
    let closed = rig.recorder.spans().iter().filter(|span| span.name == "request").count();
    assert_eq!(closed, 2);
}

#[test]
fn a_panic_in_a_parallel_iterator_leaves_the_workers_clean() {
    global_pool();
    let (_rig, _one) = rig();
    let items_of = info_span!("request").in_scope(TracingSnapshot::capture);
    let panics = || -> usize {
        let items = (0..100).into_par_iter();
        items.in_context(items_of, |items| items.enumerate().map(|_| -> u32 { std::panic::panic_any("own") })).count()
    };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"own"));
    assert_workers_clean();
}
