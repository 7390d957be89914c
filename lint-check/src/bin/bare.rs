//! What clippy is to refuse: each call and type that `clippy.toml` lists, once. Made to be checked, not to be run.

use std::thread;

use rayon::{Scope, ScopeFifo, ThreadPool};
use tokio::{
    runtime::{Handle, Runtime},
    task::{self, JoinSet, LocalSet},
};
use tokio_util::task::TaskTracker;

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

pub async fn guard(cx: opentelemetry::Context) {
    let _guard = cx.attach();
    task::yield_now().await;
}
