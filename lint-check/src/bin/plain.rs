//! What clippy refuses with `clippy-tracing.toml`, besides the bare calls: each call of ctxhop that it lists, once. It is never run.

use std::{
    thread::{self, Builder},
    time::{Duration, Instant},
};

use ctxhop::{WithContext, prelude::*};
use rayon::{Scope, ScopeFifo, ThreadPool, prelude::*};
use tokio::{
    runtime::{Handle, Runtime},
    sync::{mpsc, watch},
    task::{JoinSet, LocalSet},
};
use tokio_util::task::TaskTracker;

fn main() {}

pub fn threads() {
    let _ = ctxhop::thread::spawn(|| ());
    let _ = Builder::new().spawn_with_current_context(|| ());
    thread::scope(|scope| {
        let _ = Builder::new().spawn_scoped_with_current_context(scope, || ());
        let _ = scope.spawn_with_current_context(|| ());
    });
}

pub fn tasks(runtime: &Runtime, handle: &Handle, local: &LocalSet) {
    ctxhop::tokio::spawn(async {});
    ctxhop::tokio::spawn_detached(async {});
    ctxhop::tokio::spawn_parent_only(async {});
    ctxhop::tokio::spawn_blocking(|| ());
    ctxhop::tokio::spawn_local(async {});
    runtime.spawn_with_current_context(async {});
    runtime.spawn_blocking_with_current_context(|| ());
    handle.spawn_with_current_context(async {});
    handle.spawn_blocking_with_current_context(|| ());
    local.spawn_local_with_current_context(async {});
}

pub fn sets(tasks: &mut JoinSet<()>, handle: &Handle, local: &LocalSet) {
    tasks.spawn_with_current_context(async {});
    tasks.spawn_on_with_current_context(async {}, handle);
    tasks.spawn_local_with_current_context(async {});
    tasks.spawn_local_on_with_current_context(async {}, local);
    tasks.spawn_blocking_with_current_context(|| ());
    tasks.spawn_blocking_on_with_current_context(|| (), handle);
}

pub fn trackers(tasks: &TaskTracker, handle: &Handle, local: &LocalSet) {
    tasks.spawn_with_current_context(async {});
    tasks.spawn_on_with_current_context(async {}, handle);
    tasks.spawn_local_with_current_context(async {});
    tasks.spawn_local_on_with_current_context(async {}, local);
    tasks.spawn_blocking_with_current_context(|| ());
    tasks.spawn_blocking_on_with_current_context(|| (), handle);
}

pub fn jobs() {
    ctxhop::rayon::join(|| (), || ());
    ctxhop::rayon::join_context(|_| (), |_| ());
    ctxhop::rayon::scope(|_| ());
    ctxhop::rayon::scope_fifo(|_| ());
    ctxhop::rayon::spawn(|| ());
    ctxhop::rayon::spawn_fifo(|| ());
    ctxhop::rayon::broadcast(|_| ());
    ctxhop::rayon::spawn_broadcast(|_| ());
    [1, 2].into_par_iter().in_current_context(|numbers| numbers.map(|n| n + 1)).for_each(|_| ());
}

pub fn scopes<'a>(scope: &Scope<'a>, fifo: &ScopeFifo<'a>) {
    scope.spawn_with_current_context(|_| ());
    scope.spawn_broadcast_with_current_context(|_, _| ());
    fifo.spawn_fifo_with_current_context(|_| ());
    fifo.spawn_broadcast_with_current_context(|_, _| ());
}

pub fn pools(pool: &ThreadPool) {
    pool.install_with_current_context(|| ());
    pool.join_with_current_context(|| (), || ());
    pool.scope_with_current_context(|_| ());
    pool.scope_fifo_with_current_context(|_| ());
    pool.spawn_with_current_context(|| ());
    pool.spawn_fifo_with_current_context(|| ());
    pool.broadcast_with_current_context(|_| ());
    pool.spawn_broadcast_with_current_context(|_| ());
}

pub async fn channels(
    std: std::sync::mpsc::Sender<WithContext<u8>>,
    crossbeam: crossbeam_channel::Sender<WithContext<u8>>,
    tokio: mpsc::Sender<WithContext<u8>>,
    watch: watch::Sender<WithContext<u8>>,
) {
    let _ = std.send_with_current_context(1);
    let _ = crossbeam.try_send_with_current_context(1);
    let _ = crossbeam.send_timeout_with_current_context(1, Duration::ZERO);
    let _ = crossbeam.send_deadline_with_current_context(1, Instant::now());
    let _ = tokio.send_with_current_context(1).await;
    let _ = tokio.send_timeout_with_current_context(1, Duration::ZERO).await;
    let _ = tokio.blocking_send_with_current_context(1);
    let _ = watch.send_replace_with_current_context(1);
    watch.send_modify_with_current_context(|n| *n += 1);
    watch.send_if_modified_with_current_context(|n| *n == 1);
}

pub fn values() {
    let _ = 1.with_current_context();
    let _ = 1.detached();
    let _ = ctxhop::wrap(|| ());
    let _ = ctxhop::executor::Propagating::new(());
}
