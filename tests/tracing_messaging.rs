//! What an operation on a message is for those who use `tracing`. It sets the global tracer provider and propagator, which
//! is why it has a test binary of its own.

#[path = "support/tracing.rs"]
mod support;

use ctxhop::{
    carrier::Headers,
    messaging::{Destination, Relation},
    propagation::TraceContextPropagator,
    testing::TraceRecorder,
};
use opentelemetry::global;
use support::{Log, Rig};
use tracing::{Instrument, Span, dispatcher, info, info_span};
use tracing_subscriber::{Registry, layer::SubscriberExt};

/// One test, as all that it looks at is global.
#[test]
fn a_span_in_the_work_is_the_child_of_the_operations() {
    let rig = Rig::new();
    rig.recorder.install_global();
    global::set_text_map_propagator(TraceContextPropagator::new());

    let otel = tracing_opentelemetry::layer().with_tracer(rig.tracer());
    let subscriber = Registry::default().with(rig.log.clone()).with(otel);
    dispatcher::with_default(&subscriber.into(), || {
        in_no_span(&rig.recorder, &rig.log);
        in_a_workers_span(&rig.recorder, &rig.log);
        child_of_the_message(&rig.recorder, &rig.log);
    });
}

fn sent() -> Headers {
    let mut headers = Headers::new();
    orders().send(&mut headers).run(|| ());
    headers
}

fn orders() -> Destination {
    Destination::new("rabbitmq", "orders")
}

fn handle() {
    info!("handling");
    info_span!("handle", id = 7).in_scope(|| info!("handled"));
}

async fn handle_async() {
    futures::pending!();
    handle();
}

fn block_on_yielding(future: impl Future) {
    futures::executor::block_on(async {
        let mut future = std::pin::pin!(future);
        assert!(futures::poll!(&mut future).is_pending());
        assert_eq!(Span::current().metadata().map(|span| span.name()), None, "between two polls");
        future.await;
    });
}

#[track_caller]
fn assert_tree(recorder: &TraceRecorder, expected: &str) {
    assert_eq!(recorder.tree().display().durations(false).to_string(), expected);
    recorder.clear();
}

const CHILD_OF_THE_MESSAGE: &str = "\
send orders [producer]
└─ process orders [consumer] ~> send orders
   └─ handle";

fn in_no_span(recorder: &TraceRecorder, log: &Log) {
    orders().process(&sent()).run(handle);
    assert_tree(recorder, CHILD_OF_THE_MESSAGE);
    block_on_yielding(orders().process(&sent()).run_async(handle_async));
    assert_tree(recorder, CHILD_OF_THE_MESSAGE);
    futures::executor::block_on(
        orders().process(&sent()).run_async(|| async { info!("handled") }.instrument(info_span!("handle", id = 7))),
    );
    assert_tree(recorder, CHILD_OF_THE_MESSAGE);
    orders().process_batch(&[sent(), sent()]).run(handle);
    assert_tree(
        recorder,
        "\
process orders [consumer] ~> send orders ×2
└─ handle
send orders [producer]
send orders [producer]",
    );
    let each = ["handling", "handle id=7: handled"];
    assert_eq!(log.take(), [&each, &each, &each[1..], &each].concat());
}

/// By the conventions, the consumer's span is a child of the worker's.
fn in_a_workers_span(recorder: &TraceRecorder, log: &Log) {
    let headers = sent();
    info_span!("worker", n = 1).in_scope(|| orders().process(&headers).run(handle));
    assert_tree(
        recorder,
        "\
send orders [producer]
worker
└─ process orders [consumer] ~> send orders
   └─ handle",
    );
    assert_eq!(log.take(), ["worker n=1: handling", "worker n=1: handle id=7: handled"]);
}

/// What is the message's child is not the worker's, although the worker's span is the one that tracing has entered.
fn child_of_the_message(recorder: &TraceRecorder, log: &Log) {
    let orders = orders().relation(Relation::Parent);
    let headers = sent();
    let worker = info_span!("worker", n = 1).entered();
    orders.process(&headers).run(handle);
    futures::executor::block_on(orders.process(&headers).run_async(|| async { handle() }));
    assert_eq!(Span::current(), *worker);
    drop(worker);
    assert_eq!(log.take(), ["worker n=1: handling", "worker n=1: handle id=7: handled"].repeat(2));
    let tree = recorder.tree();
    let processes: Vec<_> = tree.find_all("process orders").collect();
    assert_eq!(processes.len(), 2);
    for process in processes {
        let children: Vec<_> = process.children().iter().map(|child| child.name()).collect();
        assert_eq!(children, ["handle"]);
    }
    recorder.clear();
}
