//! tokio's tasks: each spawn is a row, on every kind of runtime.

mod support;

use std::{
    collections::HashSet,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    thread::{self, ThreadId},
};

use ctxhop::prelude::*;
use opentelemetry::Context;
use support::{
    Case, Ended, Fate, Job, Output, Task, assert_stranger, check_closure, check_future, stranger, tag, tagged,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{AbortHandle, JoinError, JoinHandle, JoinSet, LocalSet},
};
use tokio_util::task::TaskTracker;

/// What a row may spawn on. With [`Fate::Refused`], the handle belongs to a runtime that has shut down.
struct Rig<'a> {
    runtime: &'a Runtime,
    local: &'a LocalSet,
    handle: Handle,
}

/// A spawned task.
struct Spawned {
    abort: AbortHandle,
    joined: Pin<Box<dyn Future<Output = Result<Output, JoinError>>>>,
}

impl From<JoinHandle<Output>> for Spawned {
    fn from(task: JoinHandle<Output>) -> Self {
        Spawned { abort: task.abort_handle(), joined: Box::pin(task) }
    }
}

/// The one task of a new `JoinSet`.
fn in_join_set(spawn: impl FnOnce(&mut JoinSet<Output>) -> AbortHandle) -> Spawned {
    let mut set = JoinSet::new();
    let abort = spawn(&mut set);
    Spawned { abort, joined: Box::pin(async move { set.join_next().await.expect("one task") }) }
}

async fn ended(joined: impl Future<Output = Result<Output, JoinError>>) -> Ended {
    match joined.await {
        Err(error) if error.is_cancelled() => Ended::Gone,
        joined => Ended::from_unwind(joined.map_err(JoinError::into_panic)),
    }
}

/// A runtime on whose threads the stranger's context is always attached, so that a task with a context of its own can
/// be told from one that merely finds none.
fn runtime(mut builder: Builder) -> Runtime {
    builder.enable_all().max_blocking_threads(1).on_thread_start(|| mem::forget(stranger().attach())).build().unwrap()
}

fn current_thread() -> Runtime {
    runtime(Builder::new_current_thread())
}

fn multi_thread() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(4);
    runtime(builder)
}

/// The handle of a runtime that has shut down.
fn shut_down() -> Handle {
    let runtime = current_thread();
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    handle
}

// ---- Futures ---------------------------------------------------------------------------------------------------------

type Row<W> = (&'static str, fn(&Rig<'_>, W) -> Spawned);

/// Spawns that a runtime that has shut down can refuse.
const TASKS: &[Row<Task>] = &[
    ("tokio::spawn", |rig, task| {
        let _entered = rig.handle.enter();
        ctxhop::tokio::spawn(task).into()
    }),
    ("Handle::spawn", |rig, task| rig.handle.spawn_with_current_context(task).into()),
    ("JoinSet::spawn", |rig, task| {
        let _entered = rig.handle.enter();
        in_join_set(|set| set.spawn_with_current_context(task))
    }),
    ("JoinSet::spawn_on", |rig, task| in_join_set(|set| set.spawn_on_with_current_context(task, &rig.handle))),
    ("TaskTracker::spawn", |rig, task| {
        let _entered = rig.handle.enter();
        TaskTracker::new().spawn_with_current_context(task).into()
    }),
    ("TaskTracker::spawn_on", |rig, task| TaskTracker::new().spawn_on_with_current_context(task, &rig.handle).into()),
];

/// Spawns of which the runtime is alive by their types.
const TASKS_OF_THE_LIVING: &[Row<Task>] = &[
    ("Runtime::spawn", |rig, task| rig.runtime.spawn_with_current_context(task).into()),
    ("tokio::task::spawn_local", |_, task| ctxhop::tokio::spawn_local(task).into()),
    ("LocalSet::spawn_local", |rig, task| rig.local.spawn_local_with_current_context(task).into()),
    ("JoinSet::spawn_local", |_, task| in_join_set(|set| set.spawn_local_with_current_context(task))),
    ("JoinSet::spawn_local_on", |rig, task| {
        in_join_set(|set| set.spawn_local_on_with_current_context(task, rig.local))
    }),
    ("TaskTracker::spawn_local", |_, task| TaskTracker::new().spawn_local_with_current_context(task).into()),
    ("TaskTracker::spawn_local_on", |rig, task| {
        TaskTracker::new().spawn_local_on_with_current_context(task, rig.local).into()
    }),
];

fn check_tasks(runtime: &Runtime, rows: &[Row<Task>], fates: &[Fate]) {
    let _guard = stranger().attach();
    let local = LocalSet::new();
    local.block_on(runtime, async {
        for (name, spawn) in rows {
            check_future(name, fates, async |case, task, mut remote| {
                let handle = if case.fate == Fate::Refused { shut_down() } else { runtime.handle().clone() };
                let rig = Rig { runtime, local: &local, handle };
                let spawned = case.submit(|| spawn(&rig, task));
                match case.fate {
                    Fate::Refused => {}
                    Fate::Unstarted => spawned.abort.abort(),
                    Fate::Midway => {
                        remote.started().await;
                        spawned.abort.abort();
                    }
                    _ => {
                        remote.started().await;
                        remote.go();
                    }
                }
                let ended = ended(spawned.joined).await;
                assert_workers_are_clean(case, runtime).await;
                ended
            })
            .await;
        }
    });
}

async fn assert_workers_are_clean(case: &Case, runtime: &Runtime) {
    for worker in
        [runtime.spawn(async { tag() }), runtime.spawn_blocking(tag), tokio::task::spawn_local(async { tag() })]
    {
        assert_eq!(worker.await.unwrap(), Some("stranger"), "{}: the worker's context was changed", case.name);
    }
}

const EVERY_FATE: [Fate; 6] =
    [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway, Fate::Refused];

#[test]
fn matrix_of_tasks_on_one_thread() {
    check_tasks(&current_thread(), TASKS, &EVERY_FATE);
    check_tasks(&current_thread(), TASKS_OF_THE_LIVING, &EVERY_FATE[..5]);
}

#[test]
fn matrix_of_tasks_on_many_threads() {
    // Whether a task is aborted before its first poll is a race there; all else is not.
    let unraced = EVERY_FATE.into_iter().filter(|&fate| fate != Fate::Unstarted);
    check_tasks(&multi_thread(), TASKS, &unraced.clone().collect::<Vec<_>>());
    check_tasks(
        &multi_thread(),
        TASKS_OF_THE_LIVING,
        &unraced.filter(|&fate| fate != Fate::Refused).collect::<Vec<_>>(),
    );
}

// ---- Closures --------------------------------------------------------------------------------------------------------

const BLOCKING: &[Row<Job>] = &[
    ("tokio::task::spawn_blocking", |rig, job| {
        let _entered = rig.handle.enter();
        ctxhop::tokio::spawn_blocking(job).into()
    }),
    ("Handle::spawn_blocking", |rig, job| rig.handle.spawn_blocking_with_current_context(job).into()),
    ("JoinSet::spawn_blocking", |rig, job| {
        let _entered = rig.handle.enter();
        in_join_set(|set| set.spawn_blocking_with_current_context(job))
    }),
    ("JoinSet::spawn_blocking_on", |rig, job| {
        in_join_set(|set| set.spawn_blocking_on_with_current_context(job, &rig.handle))
    }),
    ("TaskTracker::spawn_blocking", |rig, job| {
        let _entered = rig.handle.enter();
        TaskTracker::new().spawn_blocking_with_current_context(job).into()
    }),
    ("TaskTracker::spawn_blocking_on", |rig, job| {
        TaskTracker::new().spawn_blocking_on_with_current_context(job, &rig.handle).into()
    }),
];

const BLOCKING_OF_THE_LIVING: &[Row<Job>] =
    &[("Runtime::spawn_blocking", |rig, job| rig.runtime.spawn_blocking_with_current_context(job).into())];

fn check_blocking(runtime: &Runtime, rows: &[Row<Job>], fates: &[Fate]) {
    for (name, spawn) in rows {
        check_closure(name, fates, |case, job| {
            let handle = if case.fate == Fate::Refused { shut_down() } else { runtime.handle().clone() };
            // The only blocking thread is busy until the job's fate is sealed.
            let (go, wait) = mpsc::channel::<()>();
            let busy = runtime.spawn_blocking(move || wait.recv());
            let rig = Rig { runtime, local: &LocalSet::new(), handle };
            let spawned = case.submit(|| spawn(&rig, job));
            if case.fate == Fate::Unstarted {
                spawned.abort.abort();
            }
            go.send(()).expect("the thread waits");
            runtime.block_on(LocalSet::new().run_until(async {
                busy.await.expect("no panic").expect("told to go");
                let ended = ended(spawned.joined).await;
                assert_workers_are_clean(case, runtime).await;
                ended
            }))
        });
    }
}

#[test]
fn matrix_of_blocking_tasks() {
    let fates = [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Refused];
    for runtime in [current_thread(), multi_thread()] {
        check_blocking(&runtime, BLOCKING, &fates);
        check_blocking(&runtime, BLOCKING_OF_THE_LIVING, &fates[..4]);
    }
}

#[test]
fn a_runtime_that_shuts_down_drops_its_tasks_inside_their_contexts() {
    let _guard = stranger().attach();
    let case = Case::new("shutdown", support::Submitted::Set, Fate::Midway);
    let runtime = current_thread();
    let probe = case.probe();
    let (started, wait) = tokio::sync::oneshot::channel();
    let task = case.submit(|| {
        runtime.spawn_with_current_context(async move {
            probe.saw("first poll");
            started.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(probe);
        })
    });
    runtime.block_on(wait).unwrap();
    drop(runtime);
    case.assert_saw(&["first poll"]);
    case.assert_released();
    assert_stranger("after the shutdown");
    drop(task);
}

// ---- Many at once ----------------------------------------------------------------------------------------------------

/// A context value that no two tasks share.
struct Number(u64);

fn number() -> Option<u64> {
    Context::map_current(|cx| cx.get::<Number>().map(|number| number.0))
}

/// Checks its number at every step, and at every step of three generations of tasks spawned from it.
fn family(generations: u32, threads: Arc<Mutex<HashSet<ThreadId>>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let expected = number();
    Box::pin(async move {
        for _ in 0..3 {
            assert_eq!(number(), expected);
            tokio::task::yield_now().await;
        }
        threads.lock().unwrap().insert(thread::current().id());
        if generations > 0 {
            let mut children = JoinSet::new();
            children.spawn_with_current_context(family(generations - 1, threads.clone()));
            children.spawn_with_current_context({
                // A child with a number of its own, and grandchildren that follow it.
                let own = expected.map(|n| n + 1_000_000);
                let cx = own.map_or_else(Context::new, |n| Context::new().with_value(Number(n)));
                cx.run(|| family(generations - 1, threads.clone())).with_context(cx)
            });
            assert_eq!(number(), expected);
            while let Some(child) = children.join_next().await {
                child.unwrap();
                assert_eq!(number(), expected);
            }
        }
        assert_eq!(number(), expected);
    })
}

#[test]
fn ten_thousand_tasks_with_nested_spawns_never_see_anothers_context() {
    let runtime = multi_thread();
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let tasks: Vec<_> = (0..10_000)
        .map(|n| {
            // Every tenth has no context, and must not find one.
            let cx = if n % 10 == 0 { Context::new() } else { Context::new().with_value(Number(n)) };
            cx.run(|| runtime.spawn_with_current_context(family(2, threads.clone())))
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert!(threads.lock().unwrap().len() > 1, "more than one thread took part");
}

/// What polls work on its own task, or runs it on its own thread, needs no hop.
#[test]
fn what_is_no_hop_needs_none() {
    use futures::{FutureExt, StreamExt, stream};
    type Form = (&'static str, fn() -> Pin<Box<dyn Future<Output = Vec<Option<&'static str>>>>>);
    async fn seen() -> Option<&'static str> {
        let before = tag();
        tokio::task::yield_now().await;
        before.filter(|before| tag() == Some(before))
    }
    const FORMS: [Form; 8] = [
        (".await", || async { vec![seen().await] }.boxed_local()),
        ("block_on", || async { vec![futures::executor::block_on(async { tag() })] }.boxed_local()),
        ("block_in_place", || async { vec![tokio::task::block_in_place(tag)] }.boxed_local()),
        ("select!", || {
            async {
                tokio::select! { seen = seen() => vec![seen] }
            }
            .boxed_local()
        }),
        ("join!", || async { <[_; 2]>::from(tokio::join!(seen(), seen())).into() }.boxed_local()),
        ("timeout", || async { vec![tokio::time::timeout(TIMEOUT, seen()).await.unwrap()] }.boxed_local()),
        ("FuturesUnordered", || stream::FuturesUnordered::from_iter([seen(), seen()]).collect().boxed_local()),
        ("buffer_unordered", || stream::iter([seen(), seen()]).buffer_unordered(2).collect().boxed_local()),
    ];
    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);
    let runtime = runtime(Builder::new_multi_thread());
    for (name, form) in FORMS {
        let saw = runtime.block_on(tagged("ours").run_async(form));
        assert!(!saw.is_empty() && saw.iter().all(|saw| *saw == Some("ours")), "{name}: {saw:?}");
    }

    // Two that share a thread, each with a context of its own.
    let both = async { tokio::join!(seen().with_context(tagged("a")), seen().with_context(tagged("b"))) };
    assert_eq!(runtime.block_on(both), (Some("a"), Some("b")));
}
