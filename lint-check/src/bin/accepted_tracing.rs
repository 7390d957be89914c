//! What clippy accepts with `clippy-tracing.toml`.

use ctxhop::{
    executor::Propagating,
    tracing::{TracingSnapshot, prelude::*},
};
use rayon::prelude::*;
use tokio::{sync::mpsc, task::JoinSet};

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        ctxhop::tracing::tokio::spawn_detached(accept()).await.unwrap();
        let _executor = Propagating::<_, TracingSnapshot>::capturing(tokio::runtime::Handle::current());
    });
    runtime.spawn_with_context(TracingSnapshot::none(), async {});
    ctxhop::tracing::thread::spawn(compute).join().unwrap();
}

async fn accept() {
    let (tx, mut rx) = mpsc::channel(1);
    let mut set = JoinSet::new();
    set.spawn_with_current_span(async move { tx.send_with_current_span(7).await });
    ctxhop::tracing::tokio::spawn(async move { rx.recv().await.unwrap().run_async(async |_n| ()).await })
        .await
        .unwrap();
    set.join_all().await;
}

fn compute() {
    ctxhop::tracing::rayon::join(|| (), || ());
    ctxhop::rayon::in_place_scope(|scope| scope.spawn_with_current_span(|_| ()));
    [1, 2].into_par_iter().inside_current_span(|numbers| numbers.map(|n| n + 1)).for_each(|_| ());
    let (tx, rx) = std::sync::mpsc::channel();
    tx.send_parent_span_only(1).unwrap();
    rx.recv().unwrap().run(|_n| ());
}
