//! How a message is settled, by its result and by how often it was delivered; and settlements that fail.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ctxhop::messaging::{Policy, Verdict};
use futures::{executor::block_on, stream};
use opentelemetry::trace::Status;

use super::{Broker, Parcel, handle, process};
use crate::rig::{NoApples, Rig, listed};

#[test]
fn a_message_is_settled_by_what_became_of_it() {
    let policy = || Policy::unlimited().attempts(2);
    let cases = [
        ("fine", Some(1), "ack fine", (1, 0, 0, 0)),
        ("none", Some(1), "retry none", (0, 1, 0, 0)),
        ("none", Some(2), "reject none", (0, 0, 1, 0)),
        ("none", Some(3), "reject none", (0, 0, 1, 0)),
        ("none", None, "retry none", (0, 1, 0, 0)),
        ("rotten", Some(1), "retry rotten", (0, 1, 0, 1)),
        ("rotten", Some(2), "reject rotten", (0, 0, 1, 1)),
    ];
    for (body, count, settled, tallied) in cases {
        let rig = Rig::new();
        let (tally, log) = process(&rig, Parcel { count, ..Parcel::new(body) }, policy());
        assert_eq!(log, [settled]);
        assert_eq!((tally.acked, tally.retried, tally.rejected, tally.panicked), tallied, "{settled}");
        assert_eq!(tally.unsettled, 0);

        let span = rig.span("process orders");
        let status = match body {
            "rotten" => Status::error("panicked"),
            "none" => Status::error("no apples"),
            _ => Status::Unset,
        };
        assert_eq!(span.status, status);
    }
}

#[test]
fn a_broker_that_counts_nothing_tells_the_first_delivery_from_others() {
    let cases = [
        (None, None, 1, "reject none"),
        (None, None, 2, "retry none"),
        (None, Some(2), 2, "reject none"),
        (None, Some(2), 3, "retry none"),
        (Some(1), None, 2, "retry none"),
    ];
    for (count, least, attempts, settled) in cases {
        let rig = Rig::new();
        let parcel = Parcel { count, least, ..Parcel::new("none") };
        let (_, log) = process(&rig, parcel, Policy::unlimited().attempts(attempts));
        assert_eq!(log, [settled], "{count:?} {least:?} {attempts}");
        let counted = listed(&rig.span("process orders").attributes).contains("ctxhop.delivery_count=1");
        assert_eq!(counted, count.is_some(), "only a count is on the span");
    }
}

#[test]
fn a_policy_decides_by_the_result() {
    let policy = Policy::unlimited().attempts(5).decide(|result: &Result<(), NoApples>| match result {
        Ok(()) => Verdict::Retry,
        Err(NoApples) => Verdict::Reject,
    });
    let settled = Arc::<Mutex<Vec<String>>>::default();
    let parcels = ["fine", "none", "rotten"].map(|body| Parcel { settled: settled.clone(), ..Parcel::new(body) });
    let tally = block_on(Rig::new().orders.process_each(stream::iter(parcels), handle, policy));
    assert_eq!(*settled.lock().unwrap(), ["retry fine", "reject none", "retry rotten"]);
    assert_eq!((tally.retried, tally.rejected), (2, 1));
}

#[test]
fn a_settlement_that_fails_is_told_and_the_loop_goes_on() {
    let rig = Rig::new();
    let parcels = [Parcel { broker: Broker::Refuses, ..Parcel::new("fine") }, Parcel::new("fine")];
    let tally = block_on(rig.orders.process_each(stream::iter(parcels), handle, Policy::unlimited()));
    assert_eq!((tally.acked, tally.unsettled), (1, 1));
    let failed: Vec<_> = rig.recorder.spans().into_iter().filter(|span| span.status != Status::Unset).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((&*failed[0].name, &failed[0].status), ("ack orders", &Status::error("refused")));
    assert!(listed(&failed[0].attributes).contains("Refused"));
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_never_returns_is_given_up() {
    let rig = Rig::new();
    let parcels = [Parcel { broker: Broker::Hangs, ..Parcel::new("fine") }, Parcel::new("fine")];
    let policy = Policy::within(Duration::from_secs(5));
    let tally = rig.orders.process_each(stream::iter(parcels), handle, policy).await;
    assert_eq!((tally.acked, tally.unsettled), (1, 1));
    let spans = rig.recorder.spans();
    let late = spans.iter().find(|span| span.status != Status::Unset).unwrap();
    assert_eq!(late.name, "ack orders");
    assert_eq!(late.status, Status::error("the settlement took too long"));
    assert!(listed(&late.attributes).contains("error.type=timeout"));
}

/// tokio has no timer there.
#[test]
fn a_time_limit_without_its_timer_costs_each_settlement_and_not_the_loop() {
    let timerless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for runtime in [None, Some(&timerless)] {
        let _guard = runtime.map(tokio::runtime::Runtime::enter);
        let rig = Rig::new();
        let parcels = stream::iter(["fine", "none"].map(Parcel::new));
        let tally = block_on(rig.orders.process_each(parcels, handle, Policy::within(Duration::from_secs(5))));
        assert_eq!((tally.unsettled, tally.panicked, tally.acked), (2, 2, 0), "{runtime:?}");
    }
}
