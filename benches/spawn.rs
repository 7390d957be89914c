//! What it costs to spawn: each of ctxhop's ways beside the bare call, each with the wait for its end.
//!
//! ```sh
//! cargo bench --bench spawn              # everything
//! cargo bench --bench spawn -- thread    # one group
//! ```
//!
//! Compare only what one run has measured.

use std::{future, hint::black_box, thread, time::Duration};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use ctxhop::{executor::Propagating, prelude::*};
use futures::{executor::LocalPool, task::SpawnExt};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tokio::{
    runtime::{self, Runtime},
    task::{JoinSet, LocalSet},
};
use tokio_util::task::TaskTracker;

fn tokio_tasks(c: &mut Criterion) {
    let runtime = runtime();
    pair(c, "tokio::spawn", |group| {
        way(group, "bare", || runtime.block_on(async { tokio::spawn(work()).await.unwrap() }));
        way(group, "ctxhop", || runtime.block_on(async { ctxhop::tokio::spawn(work()).await.unwrap() }));
    });
    pair(c, "Handle", |group| {
        let handle = runtime.handle();
        way(group, "bare", || runtime.block_on(handle.spawn(work())).unwrap());
        way(group, "ctxhop", || runtime.block_on(handle.spawn_with_current_context(work())).unwrap());
    });
    pair(c, "JoinSet", |group| {
        let mut set = JoinSet::new();
        way(group, "bare", || {
            runtime.block_on(async {
                set.spawn(work());
                set.join_next().await
            })
        });
        way(group, "ctxhop", || {
            runtime.block_on(async {
                set.spawn_with_current_context(work());
                set.join_next().await
            })
        });
    });
    pair(c, "TaskTracker", |group| {
        let tracker = TaskTracker::new();
        way(group, "bare", || runtime.block_on(async { tracker.spawn(work()).await.unwrap() }));
        way(group, "ctxhop", || runtime.block_on(async { tracker.spawn_with_current_context(work()).await.unwrap() }));
    });
    pair(c, "tokio::spawn_local", |group| {
        let local = LocalSet::new();
        way(group, "bare", || local.block_on(&runtime, async { tokio::task::spawn_local(work()).await.unwrap() }));
        way(group, "ctxhop", || local.block_on(&runtime, async { ctxhop::tokio::spawn_local(work()).await.unwrap() }));
    });
}

fn blocking(c: &mut Criterion) {
    let runtime = runtime();
    pair(c, "tokio::spawn_blocking", |group| {
        way(group, "bare", || runtime.block_on(async { tokio::task::spawn_blocking(job).await.unwrap() }));
        way(group, "ctxhop", || runtime.block_on(async { ctxhop::tokio::spawn_blocking(job).await.unwrap() }));
    });
}

fn threads(c: &mut Criterion) {
    pair(c, "thread", |group| {
        way(group, "bare", || thread::spawn(job).join().unwrap());
        way(group, "ctxhop", || ctxhop::thread::spawn(job).join().unwrap());
    });
    pair(c, "scoped thread", |group| {
        way(group, "bare", || thread::scope(|scope| scope.spawn(job).join().unwrap()));
        way(group, "ctxhop", || thread::scope(|scope| scope.spawn_with_current_context(job).join().unwrap()));
    });
}

fn rayon_jobs(c: &mut Criterion) {
    pair(c, "rayon::join", |group| {
        way(group, "bare", || rayon::join(job, job));
        way(group, "ctxhop", || ctxhop::rayon::join(job, job));
    });
    pair(c, "rayon::scope", |group| {
        way(group, "bare", || rayon::scope(|scope| scope.spawn(|_| _ = job())));
        way(group, "ctxhop", || ctxhop::rayon::scope(|scope| scope.spawn_with_current_context(|_| _ = job())));
    });
}

/// Any executor of futures: the one that allocates.
fn executor(c: &mut Criterion) {
    pair(c, "futures' Spawn", |group| {
        let mut pool = LocalPool::new();
        let spawner = pool.spawner();
        way(group, "bare", || pool.run_until(spawner.spawn_with_handle(work()).unwrap()));
        let propagating = Propagating::new(spawner.clone());
        way(group, "ctxhop", || pool.run_until(propagating.spawn_with_handle(work()).unwrap()));
    });
}

/// With a span and a value current.
fn pair(c: &mut Criterion, name: &str, bench: impl FnOnce(&mut BenchmarkGroup<'_, WallTime>)) {
    let span = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
    let _guard = Context::new().with_value(7).with_remote_span_context(span).attach();
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    bench(&mut group);
    group.finish();
}

fn way<R>(group: &mut BenchmarkGroup<'_, WallTime>, way: &str, work: impl FnMut() -> R) {
    let mut work = work;
    group.bench_function(way, |b| b.iter(&mut work));
}

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().build().expect("a runtime without drivers")
}

async fn work() -> i32 {
    future::ready(black_box(7)).await
}

fn job() -> i32 {
    black_box(7)
}

criterion_group!(benches, tokio_tasks, blocking, threads, rayon_jobs, executor);
criterion_main!(benches);
