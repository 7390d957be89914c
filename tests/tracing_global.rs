//! The global default subscriber. To set it is why this is a test binary of its own, and one test.

#[path = "support/tracing.rs"]
mod support;

use std::{ptr, thread};

use ctxhop::{Snapshot, tracing::TracingSnapshot};
use support::Rig;
use tracing::{
    dispatcher::{self, get_default},
    info,
};

/// Assumption 7 of `src/tracing/registry.rs`. As tracing documents, a nested `get_default` gives no subscriber; except where all
/// threads have the global one.
fn only_the_global_one_is_set() -> bool {
    get_default(|outer| get_default(|inner| ptr::eq(outer, inner)))
}

#[test]
fn the_global_subscriber_is_not_attached_but_where_another_one_is() {
    let (rig, other) = (Rig::new(), Rig::new());
    let before = TracingSnapshot::capture();
    tracing::subscriber::set_global_default(rig.subscriber()).unwrap();

    // What was captured before sees it all the same.
    before.run(|| info!("captured before"));
    assert_eq!(rig.log.take(), ["captured before"]);

    let snapshot = TracingSnapshot::capture();
    for snapshot in [&before, &snapshot] {
        snapshot.run(|| assert!(only_the_global_one_is_set()));
        let guard = snapshot.clone().attach();
        assert!(only_the_global_one_is_set());
        drop(guard);
    }

    // A thread with one of its own, whose hop came from where there is the global one; and the other way round.
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            dispatcher::with_default(&other.dispatch(), || {
                snapshot.run(|| info!("global"));
                info!("own");
                assert!(!only_the_global_one_is_set());
                TracingSnapshot::capture()
            })
        });
        let own = thread.join().unwrap();
        assert!(only_the_global_one_is_set());
        own.run(|| info!("own, elsewhere"));
        let guard = own.attach();
        info!("own, by a guard");
        drop(guard);
        info!("global again");
    });
    assert_eq!(rig.log.take(), ["global", "global again"]);
    assert_eq!(other.log.take(), ["own", "own, elsewhere", "own, by a guard"]);
    assert!(only_the_global_one_is_set());
}
