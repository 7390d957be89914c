//! What an operation's result tells: failures that are an `Ok`, and what is known only when a send returns.

use std::cell::Cell;

use ctxhop::{
    carrier::Headers,
    messaging::{Failure, Report},
};
use opentelemetry::trace::Status;

use crate::rig::{NoApples, Rig, current, listed};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Confirmation {
    Ack,
    Nack,
}

fn tell(confirmation: &Confirmation, report: &mut Report<'_>) {
    report.message_id("17");
    report.partition("3");
    report.attribute("messaging.kafka.offset", 42);
    if *confirmation == Confirmation::Nack {
        report.fail(Failure::new("nack", "the broker did not take it"));
    }
}

#[test]
fn an_ok_may_be_a_failure() {
    let rig = Rig::new();
    rig.orders.send(&mut Headers::new()).on_ok(tell).run(|| Ok::<_, NoApples>(Confirmation::Nack)).unwrap();
    let running =
        rig.orders.send(&mut Headers::new()).on_ok(tell).run_async(async || Ok::<_, NoApples>(Confirmation::Nack));
    futures::executor::block_on(running).unwrap();
    for span in rig.recorder.spans() {
        assert_eq!(span.status, Status::error("the broker did not take it"));
        assert_eq!(
            listed(&span.attributes),
            "destination.name=orders destination.partition.id=3 error.type=nack kafka.offset=42 message.id=17 \
             operation.name=send operation.type=send system=rabbitmq"
        );
    }
    assert_eq!(
        rig.metrics()[1],
        "messaging.client.sent.messages=2{destination.name=orders destination.partition.id=3 error.type=nack \
         operation.name=send system=rabbitmq}"
    );
}

#[test]
fn an_ok_is_mostly_a_success() {
    let rig = Rig::new();
    rig.orders.send(&mut Headers::new()).on_ok(tell).run(|| Ok::<_, NoApples>(Confirmation::Ack)).unwrap();
    let span = rig.span("send orders");
    assert_eq!(span.status, Status::Unset);
    assert!(listed(&span.attributes).contains("kafka.offset=42"));
}

/// In time to say something of the span, and where what it starts is no child of it.
#[test]
fn the_result_is_asked_outside_the_span_before_it_ends() {
    let rig = Rig::new();
    let asked = Cell::new(0);
    let outside = |_: &(), _: &mut Report<'_>| {
        assert!(!current().is_valid(), "the span is current");
        assert!(rig.recorder.spans().is_empty(), "the span has ended before");
        asked.set(asked.get() + 1);
    };
    rig.orders.send(&mut Headers::new()).on_ok(outside).run(|| Ok::<_, NoApples>(())).unwrap();
    rig.recorder.clear();
    let running = rig.orders.send(&mut Headers::new()).on_ok(outside).run_async(async || Ok::<_, NoApples>(()));
    futures::executor::block_on(running).unwrap();
    assert_eq!(asked.get(), 2);
}

#[test]
fn an_error_is_not_asked() {
    let rig = Rig::new();
    let never = |_: &Confirmation, _: &mut Report<'_>| unreachable!("it is an error");
    let send = rig.orders.send(&mut Headers::new()).error_type(|_: &NoApples| "sold_out").on_ok(never);
    send.run(|| Err(NoApples)).unwrap_err();
    assert!(listed(&rig.span("send orders").attributes).contains("error.type=sold_out"));
}

#[test]
fn a_failure_can_be_read() {
    let failure = Failure::new("nack", "the broker did not take it");
    assert_eq!((failure.error_type(), failure.description()), ("nack", "the broker did not take it"));
}
