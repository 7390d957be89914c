//! Values, threads, tasks and executors.

use std::thread::{self, Builder};

// Both preludes: each name resolves.
use ctxhop::{executor, prelude::*, tracing::prelude::*};
use futures::task::SpawnExt;
use opentelemetry::Context;
use tokio::task::{JoinSet, LocalSet};
use tokio_util::task::TaskTracker;

use crate::{Finish, Forms, RUNTIME, When::*, Work, after, check, elsewhere};

#[test]
fn values() {
    check(
        "Propagate",
        Later,
        Forms::new(|cx, work| after(work.task().with_context(cx)), |work| after(work.task().with_current_context()))
            .detached(|work| after(work.task().detached())),
        Forms::new(|cx, work| after(work.task().with_context(cx)), |work| after(work.task().with_current_span())),
    );
    let called = |job: Box<dyn FnOnce()>| after(async { job() });
    check(
        "wrap",
        Later,
        Forms::new(
            move |cx: Context, work| called(Box::new(cx.wrap(move || work.run()))),
            move |work| called(Box::new(ctxhop::wrap(move || work.run()))),
        ),
        Forms::new(
            move |cx: TracingSnapshot, work| called(Box::new(cx.wrap(move || work.run()))),
            move |work| called(Box::new(ctxhop::tracing::wrap(move || work.run()))),
        ),
    );
}

#[test]
fn threads() {
    check(
        "thread::spawn",
        Later,
        Forms::new(
            |cx, work| joined(ctxhop::thread::spawn_with_context(cx, move || work.run())),
            |work| joined(ctxhop::thread::spawn(move || work.run())),
        )
        .parent_only(|work| joined(ctxhop::thread::spawn_parent_only(move || work.run())))
        .detached(|work| joined(ctxhop::thread::spawn_detached(move || work.run()))),
        Forms::new(
            |cx, work| joined(ctxhop::tracing::thread::spawn_with_context(cx, move || work.run())),
            |work| joined(ctxhop::tracing::thread::spawn(move || work.run())),
        )
        .parent_only(|work| joined(ctxhop::tracing::thread::spawn_parent_only(move || work.run())))
        .detached(|work| joined(ctxhop::tracing::thread::spawn_detached(move || work.run()))),
    );
    check(
        "Builder::spawn",
        Later,
        Forms::new(
            |cx, work| joined(Builder::new().spawn_with_context(cx, move || work.run()).unwrap()),
            |work| joined(Builder::new().spawn_with_current_context(move || work.run()).unwrap()),
        ),
        Forms::new(
            |cx, work| joined(Builder::new().spawn_with_context(cx, move || work.run()).unwrap()),
            |work| joined(Builder::new().spawn_with_current_span(move || work.run()).unwrap()),
        ),
    );
    check(
        "Builder::spawn_scoped",
        Within,
        Forms::new(
            |cx, work| {
                scoped(|scope| _ = Builder::new().spawn_scoped_with_context(cx, scope, move || work.run()).unwrap())
            },
            |work| {
                scoped(|scope| _ = Builder::new().spawn_scoped_with_current_context(scope, move || work.run()).unwrap())
            },
        ),
        Forms::new(
            |cx, work| {
                scoped(|scope| _ = Builder::new().spawn_scoped_with_context(cx, scope, move || work.run()).unwrap())
            },
            |work| {
                scoped(|scope| _ = Builder::new().spawn_scoped_with_current_span(scope, move || work.run()).unwrap())
            },
        ),
    );
    check(
        "Scope::spawn",
        Within,
        Forms::new(
            |cx, work| scoped(|scope| _ = scope.spawn_with_context(cx, move || work.run())),
            |work| scoped(|scope| _ = scope.spawn_with_current_context(move || work.run())),
        ),
        Forms::new(
            |cx, work| scoped(|scope| _ = scope.spawn_with_context(cx, move || work.run())),
            |work| scoped(|scope| _ = scope.spawn_with_current_span(move || work.run())),
        ),
    );
}

fn joined(thread: thread::JoinHandle<()>) -> Finish {
    after(async { thread.join().unwrap() })
}

fn scoped(spawn: impl for<'scope> FnOnce(&'scope thread::Scope<'scope, '_>)) -> Finish {
    thread::scope(spawn);
    elsewhere()
}

#[test]
fn tokio_functions() {
    check(
        "tokio::spawn",
        Later,
        Forms::new(
            |cx, work| after(ctxhop::tokio::spawn_with_context(cx, work.task())),
            |work| after(ctxhop::tokio::spawn(work.task())),
        )
        .parent_only(|work| after(ctxhop::tokio::spawn_parent_only(work.task())))
        .detached(|work| after(ctxhop::tokio::spawn_detached(work.task()))),
        Forms::new(
            |cx, work| after(ctxhop::tracing::tokio::spawn_with_context(cx, work.task())),
            |work| after(ctxhop::tracing::tokio::spawn(work.task())),
        )
        .parent_only(|work| after(ctxhop::tracing::tokio::spawn_parent_only(work.task())))
        .detached(|work| after(ctxhop::tracing::tokio::spawn_detached(work.task()))),
    );
    check(
        "tokio::task::spawn_blocking",
        Later,
        Forms::new(
            |cx, work| after(ctxhop::tokio::spawn_blocking_with_context(cx, move || work.run())),
            |work| after(ctxhop::tokio::spawn_blocking(move || work.run())),
        ),
        Forms::new(
            |cx, work| after(ctxhop::tracing::tokio::spawn_blocking_with_context(cx, move || work.run())),
            |work| after(ctxhop::tracing::tokio::spawn_blocking(move || work.run())),
        ),
    );
    check(
        "tokio::task::spawn_local",
        Later,
        Forms::new(
            |cx, work| after(ctxhop::tokio::spawn_local_with_context(cx, work.task())),
            |work| after(ctxhop::tokio::spawn_local(work.task())),
        ),
        Forms::new(
            |cx, work| after(ctxhop::tracing::tokio::spawn_local_with_context(cx, work.task())),
            |work| after(ctxhop::tracing::tokio::spawn_local(work.task())),
        ),
    );
}

#[test]
fn tokio_runtimes() {
    check(
        "Runtime::spawn",
        Later,
        Forms::new(
            |cx, work| after(RUNTIME.spawn_with_context(cx, work.task())),
            |work| after(RUNTIME.spawn_with_current_context(work.task())),
        ),
        Forms::new(
            |cx, work| after(RUNTIME.spawn_with_context(cx, work.task())),
            |work| after(RUNTIME.spawn_with_current_span(work.task())),
        ),
    );
    check(
        "Runtime::spawn_blocking",
        Later,
        Forms::new(
            |cx, work| after(RUNTIME.spawn_blocking_with_context(cx, move || work.run())),
            |work| after(RUNTIME.spawn_blocking_with_current_context(move || work.run())),
        ),
        Forms::new(
            |cx, work| after(RUNTIME.spawn_blocking_with_context(cx, move || work.run())),
            |work| after(RUNTIME.spawn_blocking_with_current_span(move || work.run())),
        ),
    );
    check(
        "Handle::spawn",
        Later,
        Forms::new(
            |cx, work| after(RUNTIME.handle().spawn_with_context(cx, work.task())),
            |work| after(RUNTIME.handle().spawn_with_current_context(work.task())),
        ),
        Forms::new(
            |cx, work| after(RUNTIME.handle().spawn_with_context(cx, work.task())),
            |work| after(RUNTIME.handle().spawn_with_current_span(work.task())),
        ),
    );
    check(
        "Handle::spawn_blocking",
        Later,
        Forms::new(
            |cx, work| after(RUNTIME.handle().spawn_blocking_with_context(cx, move || work.run())),
            |work| after(RUNTIME.handle().spawn_blocking_with_current_context(move || work.run())),
        ),
        Forms::new(
            |cx, work| after(RUNTIME.handle().spawn_blocking_with_context(cx, move || work.run())),
            |work| after(RUNTIME.handle().spawn_blocking_with_current_span(move || work.run())),
        ),
    );
    check(
        "LocalSet::spawn_local",
        Later,
        Forms::new(
            |cx, work| in_local_set(|local| after(local.spawn_local_with_context(cx, work.task()))),
            |work| in_local_set(|local| after(local.spawn_local_with_current_context(work.task()))),
        ),
        Forms::new(
            |cx, work| in_local_set(|local| after(local.spawn_local_with_context(cx, work.task()))),
            |work| in_local_set(|local| after(local.spawn_local_with_current_span(work.task()))),
        ),
    );
}

fn in_local_set(spawn: impl FnOnce(&LocalSet) -> Finish) -> Finish {
    let local = LocalSet::new();
    let finish = spawn(&local);
    after(async move { local.run_until(finish).await })
}

#[test]
fn join_sets() {
    check(
        "JoinSet::spawn",
        Later,
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_with_context(cx, work.task())),
            |work| in_set(|set, _| _ = set.spawn_with_current_context(work.task())),
        ),
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_with_context(cx, work.task())),
            |work| in_set(|set, _| _ = set.spawn_with_current_span(work.task())),
        ),
    );
    check(
        "JoinSet::spawn_on",
        Later,
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_on_with_context(cx, work.task(), RUNTIME.handle())),
            |work| in_set(|set, _| _ = set.spawn_on_with_current_context(work.task(), RUNTIME.handle())),
        ),
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_on_with_context(cx, work.task(), RUNTIME.handle())),
            |work| in_set(|set, _| _ = set.spawn_on_with_current_span(work.task(), RUNTIME.handle())),
        ),
    );
    check(
        "JoinSet::spawn_local",
        Later,
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_local_with_context(cx, work.task())),
            |work| in_set(|set, _| _ = set.spawn_local_with_current_context(work.task())),
        ),
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_local_with_context(cx, work.task())),
            |work| in_set(|set, _| _ = set.spawn_local_with_current_span(work.task())),
        ),
    );
    check(
        "JoinSet::spawn_local_on",
        Later,
        Forms::new(
            |cx, work| in_set(|set, local| _ = set.spawn_local_on_with_context(cx, work.task(), local)),
            |work| in_set(|set, local| _ = set.spawn_local_on_with_current_context(work.task(), local)),
        ),
        Forms::new(
            |cx, work| in_set(|set, local| _ = set.spawn_local_on_with_context(cx, work.task(), local)),
            |work| in_set(|set, local| _ = set.spawn_local_on_with_current_span(work.task(), local)),
        ),
    );
    check(
        "JoinSet::spawn_blocking",
        Later,
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_blocking_with_context(cx, move || work.run())),
            |work| in_set(|set, _| _ = set.spawn_blocking_with_current_context(move || work.run())),
        ),
        Forms::new(
            |cx, work| in_set(|set, _| _ = set.spawn_blocking_with_context(cx, move || work.run())),
            |work| in_set(|set, _| _ = set.spawn_blocking_with_current_span(move || work.run())),
        ),
    );
    check(
        "JoinSet::spawn_blocking_on",
        Later,
        Forms::new(
            |cx, work| {
                in_set(|set, _| _ = set.spawn_blocking_on_with_context(cx, move || work.run(), RUNTIME.handle()))
            },
            |work| {
                in_set(|set, _| _ = set.spawn_blocking_on_with_current_context(move || work.run(), RUNTIME.handle()))
            },
        ),
        Forms::new(
            |cx, work| {
                in_set(|set, _| _ = set.spawn_blocking_on_with_context(cx, move || work.run(), RUNTIME.handle()))
            },
            |work| in_set(|set, _| _ = set.spawn_blocking_on_with_current_span(move || work.run(), RUNTIME.handle())),
        ),
    );
}

fn in_set(spawn: impl FnOnce(&mut JoinSet<()>, &LocalSet)) -> Finish {
    let (mut set, local) = (JoinSet::new(), LocalSet::new());
    spawn(&mut set, &local);
    after(async move { local.run_until(async { set.join_next().await.unwrap().unwrap() }).await })
}

#[test]
fn task_trackers() {
    check(
        "TaskTracker::spawn",
        Later,
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_with_context(cx, work.task())),
            |work| after(TaskTracker::new().spawn_with_current_context(work.task())),
        ),
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_with_context(cx, work.task())),
            |work| after(TaskTracker::new().spawn_with_current_span(work.task())),
        ),
    );
    check(
        "TaskTracker::spawn_on",
        Later,
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_on_with_context(cx, work.task(), RUNTIME.handle())),
            |work| after(TaskTracker::new().spawn_on_with_current_context(work.task(), RUNTIME.handle())),
        ),
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_on_with_context(cx, work.task(), RUNTIME.handle())),
            |work| after(TaskTracker::new().spawn_on_with_current_span(work.task(), RUNTIME.handle())),
        ),
    );
    check(
        "TaskTracker::spawn_local",
        Later,
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_local_with_context(cx, work.task())),
            |work| after(TaskTracker::new().spawn_local_with_current_context(work.task())),
        ),
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_local_with_context(cx, work.task())),
            |work| after(TaskTracker::new().spawn_local_with_current_span(work.task())),
        ),
    );
    check(
        "TaskTracker::spawn_local_on",
        Later,
        Forms::new(
            |cx, work| {
                in_local_set(|local| after(TaskTracker::new().spawn_local_on_with_context(cx, work.task(), local)))
            },
            |work| {
                in_local_set(|local| after(TaskTracker::new().spawn_local_on_with_current_context(work.task(), local)))
            },
        ),
        Forms::new(
            |cx, work| {
                in_local_set(|local| after(TaskTracker::new().spawn_local_on_with_context(cx, work.task(), local)))
            },
            |work| in_local_set(|local| after(TaskTracker::new().spawn_local_on_with_current_span(work.task(), local))),
        ),
    );
    check(
        "TaskTracker::spawn_blocking",
        Later,
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_blocking_with_context(cx, move || work.run())),
            |work| after(TaskTracker::new().spawn_blocking_with_current_context(move || work.run())),
        ),
        Forms::new(
            |cx, work| after(TaskTracker::new().spawn_blocking_with_context(cx, move || work.run())),
            |work| after(TaskTracker::new().spawn_blocking_with_current_span(move || work.run())),
        ),
    );
    check(
        "TaskTracker::spawn_blocking_on",
        Later,
        Forms::new(
            |cx, work| {
                after(TaskTracker::new().spawn_blocking_on_with_context(cx, move || work.run(), RUNTIME.handle()))
            },
            |work| {
                after(TaskTracker::new().spawn_blocking_on_with_current_context(move || work.run(), RUNTIME.handle()))
            },
        ),
        Forms::new(
            |cx, work| {
                after(TaskTracker::new().spawn_blocking_on_with_context(cx, move || work.run(), RUNTIME.handle()))
            },
            |work| after(TaskTracker::new().spawn_blocking_on_with_current_span(move || work.run(), RUNTIME.handle())),
        ),
    );
}

/// An executor captures at each submit; what it does with a given context is to submit inside it.
#[test]
fn executors() {
    fn pool() -> futures::executor::ThreadPool {
        futures::executor::ThreadPool::builder().pool_size(1).create().unwrap()
    }
    fn submit(executor: &impl SpawnExt, work: Work) -> Finish {
        after(executor.spawn_with_handle(work.task()).unwrap())
    }
    check(
        "Propagating",
        Later,
        Forms::new(
            |cx: Context, work| cx.run(|| submit(&executor::Propagating::new(pool()), work)),
            |work| submit(&executor::Propagating::new(pool()), work),
        ),
        Forms::new(
            |cx: TracingSnapshot, work| {
                cx.run(|| submit(&ctxhop::tracing::executor::Propagating::capturing(pool()), work))
            },
            |work| submit(&ctxhop::tracing::executor::Propagating::capturing(pool()), work),
        ),
    );
}
