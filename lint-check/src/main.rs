//! What clippy accepts with `clippy.toml`.

use ctxhop::prelude::*;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        ctxhop::tokio::spawn(async {}).await.unwrap();
        ctxhop::tokio::spawn_detached(async {}).await.unwrap();
        tokio::task::JoinSet::new().spawn_with_current_context(async {});
    });
    ctxhop::thread::spawn(|| ctxhop::rayon::in_place_scope(|_| ())).join().unwrap();
}
