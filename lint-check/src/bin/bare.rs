//! What clippy refuses with either configuration: each call and type that `clippy.toml` lists, once. It is never run.

use std::thread;

use ctxhop::{Snapshot, tracing::TracingSnapshot};
use rayon::{Scope, ScopeFifo, ThreadPool};
use tokio::{
    runtime::{Handle, Runtime},
    task::{self, JoinSet, LocalSet},
};
use tokio_util::task::TaskTracker;
use tracing::Span;

fn main() {}

pub fn threads() {
    let _ = thread::spawn(|| ());
    let _ = thread::Builder::new().spawn(|| ());
    thread::scope(|scope| {
        let _ = thread::Builder::new().spawn_scoped(scope, || ());
        let _ = scope.spawn(|| ());
    });
}

pub fn tasks(runtime: &Runtime, handle: &Handle, local: &LocalSet) {
    tokio::spawn(async {});
    task::spawn_blocking(|| ());
    task::spawn_local(async {});
    runtime.spawn(async {});
    runtime.spawn_blocking(|| ());
    handle.spawn(async {});
    handle.spawn_blocking(|| ());
    local.spawn_local(async {});
}

pub fn sets(tasks: &mut JoinSet<()>, handle: &Handle, local: &LocalSet) {
    tasks.spawn(async {});
    tasks.spawn_on(async {}, handle);
    tasks.spawn_local(async {});
    tasks.spawn_local_on(async {}, local);
    tasks.spawn_blocking(|| ());
    tasks.spawn_blocking_on(|| (), handle);
}

pub fn trackers(tasks: &TaskTracker, handle: &Handle, local: &LocalSet) {
    tasks.spawn(async {});
    tasks.spawn_on(async {}, handle);
    tasks.spawn_local(async {});
    tasks.spawn_local_on(async {}, local);
    tasks.spawn_blocking(|| ());
    tasks.spawn_blocking_on(|| (), handle);
}

pub fn jobs() {
    rayon::join(|| (), || ());
    rayon::join_context(|_| (), |_| ());
    rayon::scope(|_| ());
    rayon::scope_fifo(|_| ());
    rayon::spawn(|| ());
    rayon::spawn_fifo(|| ());
    rayon::broadcast(|_| ());
    rayon::spawn_broadcast(|_| ());
}

pub fn scopes<'a>(scope: &Scope<'a>, fifo: &ScopeFifo<'a>) {
    scope.spawn(|_| ());
    scope.spawn_broadcast(|_, _| ());
    fifo.spawn_fifo(|_| ());
    fifo.spawn_broadcast(|_, _| ());
}

pub fn pools(pool: &ThreadPool) {
    pool.install(|| ());
    pool.join(|| (), || ());
    pool.scope(|_| ());
    pool.scope_fifo(|_| ());
    pool.spawn(|| ());
    pool.spawn_fifo(|| ());
    pool.broadcast(|_| ());
    pool.spawn_broadcast(|_| ());
}

pub async fn guards(cx: opentelemetry::Context, snapshot: TracingSnapshot) {
    let _opentelemetrys = cx.clone().attach();
    task::yield_now().await;
    drop(_opentelemetrys);
    let _ours = Snapshot::attach(cx);
    task::yield_now().await;
    drop(_ours);
    let _ours = snapshot.attach();
    task::yield_now().await;
}

pub async fn spans(span: Span) {
    let _entered = span.enter();
    task::yield_now().await;
}

pub async fn owned_spans(span: Span) {
    let _entered = span.entered();
    task::yield_now().await;
}
