//! Every operation, whatever becomes of its work, and what is said about it.

use std::{
    any::type_name,
    fmt,
    future::{Ready, pending, ready},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task,
};

use ctxhop::{
    carrier::Headers,
    messaging::{Destination, Operation, Running, Settlement},
    prelude::*,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt},
};
use static_assertions::assert_impl_all;

use crate::{
    rig::{CREATION, NoApples, Rig, current, linked, listed, traced},
    support::{assert_stranger, stranger},
};

assert_impl_all!(Operation: Send, Sync, fmt::Debug);
assert_impl_all!(Running<fn() -> Ready<()>, Ready<()>>: Send, Sync, Unpin, fmt::Debug);

// The matrix.

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Returns,
    Fails,
    Panics,
    AsyncReturns,
    AsyncFails,
    AsyncPanics,
    DroppedUnpolled,
    DroppedMidway,
    NeverRun,
}

const FATES: [Fate; 9] = [
    Fate::Returns,
    Fate::Fails,
    Fate::Panics,
    Fate::AsyncReturns,
    Fate::AsyncFails,
    Fate::AsyncPanics,
    Fate::DroppedUnpolled,
    Fate::DroppedMidway,
    Fate::NeverRun,
];

impl Fate {
    /// The `error.type` and the description.
    fn failure(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Returns | Self::AsyncReturns => None,
            Self::Fails | Self::AsyncFails => Some((type_name::<NoApples>(), "no apples")),
            Self::Panics | Self::AsyncPanics => Some(("panic", "panicked")),
            Self::DroppedUnpolled | Self::DroppedMidway | Self::NeverRun => Some(("cancelled", "cancelled")),
        }
    }

    fn outcome(self) -> Result<u8, NoApples> {
        match self {
            Self::Returns | Self::AsyncReturns => Ok(7),
            Self::Fails | Self::AsyncFails => Err(NoApples),
            _ => panic!("rotten"),
        }
    }

    fn meet(self, operation: Operation) {
        let expected = operation.context().span().span_context().clone();
        assert!(expected.is_valid());
        let inside = Inside(expected);
        match self {
            Self::NeverRun => {
                mem::forget(inside);
                drop(operation);
            }
            Self::Returns | Self::Fails | Self::Panics => {
                let run = || {
                    operation.run(move || {
                        inside.check();
                        self.outcome()
                    })
                };
                match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(result) => assert!(self != Self::Panics && result == self.outcome()),
                    Err(panic) => {
                        assert!(
                            self == Self::Panics && *panic.downcast::<&str>().unwrap() == "rotten",
                            "its own panic"
                        );
                    }
                }
            }
            _ => {
                let midway = self == Self::DroppedMidway;
                let mut running = Box::pin(operation.run_async(|| async move {
                    inside.check();
                    if midway {
                        pending::<()>().await;
                    }
                    inside.check();
                    self.outcome()
                }));
                if self != Self::DroppedUnpolled {
                    let mut task = task::Context::from_waker(task::Waker::noop());
                    let poll = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut task)));
                    assert_stranger("between two polls");
                    match self {
                        Self::DroppedMidway => assert!(poll.unwrap().is_pending()),
                        Self::AsyncPanics => assert_eq!(*poll.unwrap_err().downcast::<&str>().unwrap(), "rotten"),
                        _ => assert_eq!(poll.unwrap(), task::Poll::Ready(self.outcome())),
                    }
                }
            }
        }
    }
}

/// Its destructor runs in the operation's span too, which has not ended.
struct Inside(SpanContext);

impl Inside {
    #[track_caller]
    fn check(&self) {
        assert_eq!(current(), self.0);
        assert!(Context::current().span().is_recording(), "the span has ended before its work");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.check();
    }
}

struct Expected {
    name: &'static str,
    kind: SpanKind,
    attributes: &'static str,
    links: &'static [SpanId],
    parent: SpanId,
    /// With `ERROR` where the `error.type` is.
    metrics: &'static [&'static str],
}

#[track_caller]
fn check(start: impl Fn(&Destination) -> Operation, expected: &Expected) {
    for fate in FATES {
        let rig = Rig::new();
        stranger().run(|| {
            fate.meet(start(&rig.orders));
            assert_stranger(format_args!("{fate:?}"));
        });

        let spans = rig.recorder.spans();
        assert_eq!(spans.len(), 1, "{fate:?}: the span ends exactly once");
        let span = &spans[0];
        assert_eq!(span.name, expected.name, "{fate:?}");
        assert_eq!(span.span_kind, expected.kind, "{fate:?}");
        assert_eq!(linked(span), expected.links, "{fate:?}");
        assert_eq!(span.parent_span_id, expected.parent, "{fate:?}");
        let failure = fate.failure();
        let status = failure.map_or(Status::Unset, |(_, description)| Status::error(description));
        assert_eq!(span.status, status, "{fate:?}");

        let error = failure.map_or_else(String::new, |(error_type, _)| format!("error.type={error_type} "));
        let with_error = |text: &str| text.replace("ERROR ", &error);
        assert_eq!(listed(&span.attributes), with_error(expected.attributes), "{fate:?}");
        let metrics: Vec<_> = match fate {
            Fate::NeverRun => Vec::new(),
            _ => expected.metrics.iter().map(|line| with_error(line)).collect(),
        };
        assert_eq!(rig.metrics(), metrics, "{fate:?}");
    }
}

#[test]
fn send() {
    check(
        |orders| orders.send(&mut Headers::new()),
        &Expected {
            name: "send orders",
            kind: SpanKind::Producer,
            attributes: "destination.name=orders ERROR operation.name=send operation.type=send system=rabbitmq",
            links: &[],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=send operation.type=send system=rabbitmq}",
                "messaging.client.sent.messages=1{destination.name=orders ERROR operation.name=send system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn send_batch() {
    check(
        |orders| orders.send_batch(&mut [Headers::new(), traced(), Headers::new()]),
        &Expected {
            name: "send orders",
            kind: SpanKind::Producer,
            attributes: "batch.message_count=3 destination.name=orders ERROR operation.name=send operation.type=send system=rabbitmq",
            links: &[CREATION],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=send operation.type=send system=rabbitmq}",
                "messaging.client.sent.messages=3{destination.name=orders ERROR operation.name=send system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn create() {
    check(
        |orders| orders.create(&mut Headers::new()),
        &Expected {
            name: "create orders",
            kind: SpanKind::Producer,
            attributes: "destination.name=orders ERROR operation.name=create operation.type=create system=rabbitmq",
            links: &[],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=create operation.type=create system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn receive() {
    check(
        |orders| orders.receive(&[traced(), Headers::new()]),
        &Expected {
            name: "receive orders",
            kind: SpanKind::Client,
            attributes: "batch.message_count=2 destination.name=orders ERROR operation.name=receive operation.type=receive system=rabbitmq",
            links: &[CREATION],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.consumed.messages=2{destination.name=orders ERROR operation.name=receive system=rabbitmq}",
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=receive operation.type=receive system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn process() {
    check(
        |orders| orders.process(&traced()),
        &Expected {
            name: "process orders",
            kind: SpanKind::Consumer,
            attributes: "destination.name=orders ERROR operation.name=process operation.type=process system=rabbitmq",
            links: &[CREATION],
            parent: CREATION,
            metrics: &[
                "messaging.client.consumed.messages=1{destination.name=orders ERROR operation.name=process system=rabbitmq}",
                "messaging.process.duration=1{destination.name=orders ERROR operation.name=process system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn process_batch() {
    check(
        |orders| orders.process_batch(&[traced(), Headers::new(), traced()]),
        &Expected {
            name: "process orders",
            kind: SpanKind::Consumer,
            attributes: "batch.message_count=3 destination.name=orders ERROR operation.name=process operation.type=process system=rabbitmq",
            links: &[CREATION, CREATION],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.consumed.messages=3{destination.name=orders ERROR operation.name=process system=rabbitmq}",
                "messaging.process.duration=1{destination.name=orders ERROR operation.name=process system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn named() {
    check(
        |orders| orders.operation_name("publish").send(&mut Headers::new()),
        &Expected {
            name: "publish orders",
            kind: SpanKind::Producer,
            attributes: "destination.name=orders ERROR operation.name=publish operation.type=send system=rabbitmq",
            links: &[],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=publish operation.type=send system=rabbitmq}",
                "messaging.client.sent.messages=1{destination.name=orders ERROR operation.name=publish system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn settle() {
    check(
        |orders| orders.settle(Settlement::Ack, &traced()),
        &Expected {
            name: "ack orders",
            kind: SpanKind::Client,
            attributes: "destination.name=orders ERROR operation.name=ack operation.type=settle system=rabbitmq",
            links: &[CREATION],
            parent: CREATION,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=ack operation.type=settle system=rabbitmq}",
            ],
        },
    );
}

#[test]
fn settle_batch() {
    check(
        |orders| orders.settle_batch(Settlement::Other("commit"), &[traced(), Headers::new(), traced()]),
        &Expected {
            name: "commit orders",
            kind: SpanKind::Client,
            attributes: "batch.message_count=3 destination.name=orders ERROR operation.name=commit operation.type=settle system=rabbitmq",
            links: &[CREATION, CREATION],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=commit operation.type=settle system=rabbitmq}",
            ],
        },
    );
}

// The work.

#[test]
fn the_context_is_captured_at_the_call() {
    let rig = Rig::new();
    let ambient = rig.ambient();
    let operation = ambient.run(|| rig.orders.send(&mut Headers::new()));
    stranger().run(|| operation.run(|| ()));
    assert_eq!(rig.span("send orders").parent_span_id, ambient.span().span_context().span_id());
}

#[test]
fn the_context_is_let_go_when_the_work_is_done() {
    let rig = Rig::new();
    let ambient = rig.ambient();
    let mut running = pin!(ambient.run(|| rig.orders.send(&mut Headers::new()).run_async(|| ready(()))));
    drop(ambient);
    let mut task = task::Context::from_waker(task::Waker::noop());
    assert!(running.as_mut().poll(&mut task).is_ready());
    assert_eq!(rig.recorder.spans().len(), 2, "the ambient span has ended too, though the future is still there");
}

#[test]
fn what_is_done_panics_when_it_is_polled_again() {
    let rig = Rig::new();
    let mut running = pin!(rig.orders.send(&mut Headers::new()).run_async(|| ready(())));
    let mut task = task::Context::from_waker(task::Waker::noop());
    assert!(running.as_mut().poll(&mut task).is_ready());
    catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut task))).unwrap_err();
    assert_eq!(rig.recorder.spans().len(), 1);
}

#[test]
fn the_span_of_a_panicked_future_ends_at_the_panic() {
    let rig = Rig::new();
    let work = async {
        if true {
            panic!("rotten")
        }
    };
    let mut running = Box::pin(rig.orders.send(&mut Headers::new()).run_async(|| work));
    let mut task = task::Context::from_waker(task::Waker::noop());
    catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut task))).unwrap_err();
    assert_eq!(rig.recorder.spans().len(), 1);
    drop(running);
    assert_eq!(rig.recorder.spans().len(), 1);
}

#[test]
fn what_makes_the_future_runs_inside_too() {
    let rig = Rig::new();
    let process = rig.orders.process(&Headers::new());
    let span = process.context().span().span_context().clone();
    let running = process.run_async(|| {
        let reply = rig.orders.send(&mut Headers::new());
        async move { reply.run(|| ()) }
    });
    assert!(!Context::current().has_active_span());
    futures::executor::block_on(running);
    assert_eq!(rig.span("send orders").parent_span_id, span.span_id());

    let process = rig.orders.operation_name("make").process(&Headers::new());
    let make = || -> Ready<()> { panic!("rotten") };
    let mut running = pin!(process.run_async(make));
    let mut task = task::Context::from_waker(task::Waker::noop());
    catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut task))).unwrap_err();
    assert_eq!(rig.span("make orders").status, Status::error("panicked"));
}

// What is said.

#[test]
fn messages() {
    let rig = Rig::new();
    rig.orders
        .process(&Headers::new())
        .message_id("17")
        .conversation_id("c")
        .body_size(3)
        .envelope_size(5)
        .partition("9")
        .attribute("messaging.rabbitmq.destination.routing_key", "k")
        .run(|| ());
    assert_eq!(
        listed(&rig.span("process orders").attributes),
        "destination.name=orders destination.partition.id=9 message.body.size=3 message.conversation_id=c \
         message.envelope.size=5 message.id=17 operation.name=process operation.type=process \
         rabbitmq.destination.routing_key=k system=rabbitmq"
    );
    assert!(rig.metrics().iter().all(|line| line.contains("destination.partition.id=9") && !line.contains("17")));
}

#[test]
fn settlements() {
    let rig = Rig::new();
    for settlement in [Settlement::Ack, Settlement::Retry, Settlement::Reject, Settlement::Other("commit")] {
        rig.orders.settle(settlement, &Headers::new()).run(|| ());
    }
    let names: Vec<_> = rig.recorder.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["ack orders", "retry orders", "reject orders", "commit orders"]);
}

#[test]
fn a_message_is_linked_to_the_one_that_caused_it() {
    let rig = Rig::new();
    let mut message = Headers::new();
    rig.orders.send(&mut message).link_to(&traced()).link_to(&Headers::new()).run(|| ());
    assert_eq!(linked(&rig.span("send orders")), [CREATION], "and nothing to one without a context");
}

#[test]
fn a_second_attempt_is_linked_to_the_first() {
    let rig = Rig::new();
    let first = rig.orders.process(&traced()).delivery_count(1);
    let attempt = first.span_context().unwrap();
    first.run(|| Err::<(), _>(NoApples)).unwrap_err();
    let previous = [KeyValue::new("retry.link", "previous_attempt")];
    rig.orders.process(&traced()).delivery_count(2).link_with(attempt.clone(), previous).run(|| ());

    let spans = rig.recorder.spans();
    assert_eq!(linked(&spans[1]), [CREATION, attempt.span_id()]);
    let said: Vec<_> = spans[1].links.iter().map(|link| listed(&link.attributes)).collect();
    assert_eq!(said, ["", "retry.link=previous_attempt"], "one can be told from the other");
    assert!(listed(&spans[1].attributes).contains("ctxhop.delivery_count=2"));
    let pubsub = rig.connect(Destination::new("gcp_pubsub", "orders"));
    pubsub.process(&traced()).delivery_count(3).run(|| ());
    assert!(listed(&rig.recorder.spans()[2].attributes).contains("gcp_pubsub.message.delivery_attempt=3"));
}
