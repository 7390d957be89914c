//! What counts as a failure, and what it is called.

use ctxhop::messaging::{Operation, Outcome};

use crate::rig::{NoApples, Rig, listed, traced};

#[test]
fn error_types_of_ones_own() {
    let rig = Rig::new();
    let by_error = |operation: Operation| operation.error_type(|_: &NoApples| format!("sold_{}", "out"));
    by_error(rig.orders.process(&traced())).run(|| Err::<(), _>(NoApples)).unwrap_err();
    let running = by_error(rig.orders.process(&traced())).run_async(|| async { Err::<(), _>(NoApples) });
    futures::executor::block_on(running).unwrap_err();
    by_error(rig.orders.process(&traced())).run(|| Ok::<_, NoApples>(())).unwrap();
    let failures: Vec<_> =
        rig.recorder.spans().iter().map(|span| listed(&span.attributes).contains("error.type=sold_out")).collect();
    assert_eq!(failures, [true, true, false]);

    assert!(().failure().is_none() && None::<u8>.failure().is_none());
    assert!(
        Ok::<Result<(), NoApples>, NoApples>(Err(NoApples)).failure().is_none(),
        "an `Ok` is none, whatever is in it"
    );
}
