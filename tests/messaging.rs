//! Every operation, whatever becomes of its work; whose child a span is, what it links to, what is counted.

mod support;

use std::{
    any::type_name,
    fmt,
    future::{Ready, pending, ready},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task,
    time::{Duration, SystemTime},
};

use ctxhop::{
    carrier::Headers,
    messaging::{BaggagePolicy, Destination, Operation, Outcome, Relation, Running, Settlement, Trust},
    prelude::*,
    propagation::TraceContextPropagator,
    testing::TraceRecorder,
};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    propagation::TextMapCompositePropagator,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
    propagation::BaggagePropagator,
    trace::{Sampler, SdkTracerProvider, SpanData},
};
use static_assertions::assert_impl_all;
use support::{assert_stranger, stranger};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CREATION_TRACE: TraceId = TraceId::from_bytes(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
const CREATION: SpanId = SpanId::from_bytes(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());

assert_impl_all!(Destination: Send, Sync, Clone, fmt::Debug);
assert_impl_all!(Operation: Send, Sync, fmt::Debug);
assert_impl_all!(Running<Ready<()>>: Send, Sync, Unpin, fmt::Debug);

/// A destination of its own, and what it records.
struct Rig {
    recorder: TraceRecorder,
    meters: SdkMeterProvider,
    points: Points,
    orders: Destination,
}

impl Rig {
    fn new() -> Self {
        Self::with_recorder(TraceRecorder::new())
    }

    fn with_recorder(recorder: TraceRecorder) -> Self {
        let points = Points::default();
        let reader = PeriodicReader::builder(points.clone()).build();
        let meters = SdkMeterProvider::builder().with_reader(reader).build();
        let orders = Destination::new("rabbitmq", "orders");
        let rig = Self { recorder, meters, points, orders: orders.clone() };
        Self { orders: rig.connect(orders), ..rig }
    }

    /// Has the spans and metrics of a destination recorded here.
    fn connect(&self, destination: Destination) -> Destination {
        destination
            .with_tracer_provider(self.recorder.provider())
            .with_meter_provider(&self.meters)
            .with_propagator(propagator())
    }

    /// A context with a span of this program.
    fn ambient(&self) -> Context {
        Context::new().with_span(self.recorder.tracer("test").start("ambient"))
    }

    /// The only span of that name.
    #[track_caller]
    fn span(&self, name: &str) -> SpanData {
        let mut spans: Vec<_> = self.recorder.spans().into_iter().filter(|span| span.name == name).collect();
        assert_eq!(spans.len(), 1, "spans named {name}");
        spans.remove(0)
    }

    /// `name=value{attributes}`, sorted; of histograms the number of values.
    fn metrics(&self) -> Vec<String> {
        self.points.0.lock().unwrap().clear();
        self.meters.force_flush().unwrap();
        let mut points = self.points.0.lock().unwrap().clone();
        points.sort();
        points
    }
}

fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

/// The SDK's in-memory exporter is behind its feature for tests, which changes the API as well.
#[derive(Clone, Default)]
struct Points(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<f64>>>);

impl PushMetricExporter for Points {
    fn export(&self, metrics: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        let mut points = self.0.lock().unwrap();
        for metric in metrics.scope_metrics().flat_map(|scope| {
            assert_eq!(scope.scope().name(), "ctxhop");
            scope.metrics()
        }) {
            let mut point = |value: u64, attributes: Vec<KeyValue>| {
                points.push(format!("{}={value}{{{}}}", metric.name(), listed(&attributes)));
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert_eq!(metric.unit(), "{message}");
                    sum.data_points().for_each(|it| point(it.value(), it.attributes().cloned().collect()));
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    assert_eq!(metric.unit(), "s");
                    for it in histogram.data_points() {
                        let bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
                        assert!(it.bounds().eq(bounds));
                        self.1.lock().unwrap().push(it.sum());
                        point(it.count(), it.attributes().cloned().collect());
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        ready(Ok(()))
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Sorted, and without the prefix that most have.
fn listed(attributes: &[KeyValue]) -> String {
    let mut listed: Vec<_> = attributes
        .iter()
        .map(|it| format!("{}={}", it.key.as_str().trim_start_matches("messaging."), it.value.as_str()))
        .collect();
    listed.sort();
    listed.join(" ")
}

fn linked(span: &SpanData) -> Vec<SpanId> {
    span.links.iter().map(|link| link.span_context.span_id()).collect()
}

fn traced() -> Headers {
    Headers::from_iter([("traceparent", PARENT)])
}

fn current() -> SpanContext {
    Context::current().span().span_context().clone()
}

#[derive(Debug, PartialEq)]
struct NoApples;

impl fmt::Display for NoApples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no apples")
    }
}

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
                let result = catch_unwind(AssertUnwindSafe(run));
                assert_eq!(result.ok(), (self != Self::Panics).then(|| self.outcome()));
            }
            _ => {
                let midway = self == Self::DroppedMidway;
                let mut running = Box::pin(operation.run_async(async move {
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
fn settle() {
    check(
        |orders| orders.settle(Settlement::Ack).link_to(&traced()),
        &Expected {
            name: "ack orders",
            kind: SpanKind::Client,
            attributes: "destination.name=orders ERROR operation.name=ack operation.type=settle system=rabbitmq",
            links: &[CREATION],
            parent: SpanId::INVALID,
            metrics: &[
                "messaging.client.operation.duration=1{destination.name=orders ERROR operation.name=ack operation.type=settle system=rabbitmq}",
            ],
        },
    );
}

// Sending.

#[test]
fn the_message_carries_the_send_span() {
    let rig = Rig::new();
    let ambient = rig.ambient();
    let mut message = Headers::from_iter([("content-type", "text/plain"), ("tracestate", "stale=1")]);
    let inside = ambient.run(|| rig.orders.send(&mut message).run(|| Some(current()))).unwrap();

    let span = rig.span("send orders");
    assert_eq!(inside, span.span_context);
    assert_eq!(span.parent_span_id, ambient.span().span_context().span_id());
    let id = &span.span_context;
    assert_eq!(message.get("traceparent"), Some(&*format!("00-{}-{}-01", id.trace_id(), id.span_id())));
    assert_eq!(message.get("tracestate"), None);
    assert_eq!(message.get("content-type"), Some("text/plain"));
}

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
    let mut running = pin!(ambient.run(|| rig.orders.send(&mut Headers::new()).run_async(ready(()))));
    drop(ambient);
    let mut task = task::Context::from_waker(task::Waker::noop());
    assert!(running.as_mut().poll(&mut task).is_ready());
    assert_eq!(rig.recorder.spans().len(), 2, "the ambient span has ended too, though the future is still there");
}

#[test]
fn the_span_of_a_panicked_future_ends_at_the_panic() {
    let rig = Rig::new();
    let work = async {
        if true {
            panic!("rotten")
        }
    };
    let mut running = Box::pin(rig.orders.send(&mut Headers::new()).run_async(work));
    let mut task = task::Context::from_waker(task::Waker::noop());
    catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut task))).unwrap_err();
    assert_eq!(rig.recorder.spans().len(), 1);
    drop(running);
    assert_eq!(rig.recorder.spans().len(), 1);
}

#[test]
fn without_a_span_the_outer_context_is_sent() {
    let rig = Rig::new();
    let ambient = rig.ambient();
    let mut message = Headers::new();
    let seen = ambient
        .with_telemetry_suppressed()
        .run(|| rig.orders.send(&mut message).message_id("1").link_to(&traced()).run(|| Some(current())));
    assert_eq!(seen.as_ref(), Some(ambient.span().span_context()));
    assert!(message.get("traceparent").unwrap().contains(&ambient.span().span_context().span_id().to_string()));

    drop(ambient);
    let span = rig.span("ambient");
    assert!(span.attributes.is_empty() && span.links.is_empty(), "the outer span is not the operation's to change");
    assert!(rig.metrics().is_empty());
}

#[test]
fn a_span_that_is_not_sampled_is_sent_as_such() {
    let unsampled = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff);
    let rig = Rig::with_recorder(TraceRecorder::with_provider(unsampled));
    let mut message = Headers::new();
    rig.orders.send(&mut message).run(|| ());
    assert!(message.get("traceparent").unwrap().ends_with("-00"));
    let parent = rig.orders.process(&message).run(|| Some(current())).unwrap();
    assert!(message.get("traceparent").unwrap().contains(&parent.trace_id().to_string()));
    assert!(rig.recorder.spans().is_empty());
    assert_eq!(rig.metrics().len(), 4, "metrics do not depend on sampling");
}

#[test]
fn a_creation_context_of_the_users_is_kept() {
    let rig = Rig::new();
    let mut message = traced();
    message.append("baggage", "tenant=7");
    for _ in 0..3 {
        rig.orders.send(&mut message).run(|| ());
        let sent: Vec<_> = message.iter().collect();
        assert_eq!(sent, [("traceparent", PARENT), ("baggage", "tenant=7")]);
    }
    for span in rig.recorder.spans() {
        assert_eq!(span.span_kind, SpanKind::Client);
        assert_eq!(linked(&span), [CREATION]);
        assert_ne!(span.span_context.trace_id(), CREATION_TRACE);
    }

    rig.recorder.clear();
    let seen = rig.orders.create(&mut message).run(|| Some(current())).unwrap();
    assert!(!seen.is_valid() && rig.recorder.spans().is_empty(), "no second creation");
}

#[test]
fn created_messages_are_sent_in_a_batch() {
    let rig = Rig::new();
    let mut batch = [Headers::new(), Headers::new()];
    for message in &mut batch {
        rig.orders.create(message).run(|| ());
    }
    let created: Vec<_> = rig.recorder.spans().iter().map(|span| span.span_context.span_id()).collect();
    rig.orders.send_batch(&mut batch).run(|| ());

    let span = rig.span("send orders");
    assert_eq!(span.span_kind, SpanKind::Client, "its own context is in no message");
    assert_eq!(linked(&span), created);
}

// Receiving.

#[test]
fn nothing_received_or_sent_is_no_span() {
    let rig = Rig::new();
    let ambient = rig.ambient();
    let seen = ambient.run(|| rig.orders.receive(&Vec::<Headers>::new()).message_id("1").run(|| Some(current())));
    assert_eq!(seen.as_ref(), Some(ambient.span().span_context()));
    ambient.run(|| rig.orders.send_batch(&mut Vec::<Headers>::new()).run(|| ()));
    drop(rig.orders.receive(&[] as &[Headers]));

    drop(ambient);
    assert_eq!(rig.recorder.spans().len(), 1);
    assert!(rig.span("ambient").attributes.is_empty());
    assert!(rig.metrics().is_empty());
}

#[test]
fn what_varies_is_on_the_links() {
    let rig = Rig::new();
    let mut batch = [traced(), Headers::new(), traced()];
    batch[0].append("id", "a");
    batch[2].append("id", "c");
    let hour = Duration::from_secs(3600);
    let asked = SystemTime::now() - hour;
    let id = |message: &Headers| message.get("id").map(|id| KeyValue::new("messaging.message.id", id.to_owned()));
    rig.orders.receive_with(asked, &batch, id).run(|| ());

    let span = rig.span("receive orders");
    let ids: Vec<_> = span.links.iter().map(|link| listed(&link.attributes)).collect();
    assert_eq!(ids, ["message.id=a", "message.id=c"]);
    assert_eq!(span.start_time, asked);
    assert!(span.end_time >= asked + hour);
}

#[test]
fn messages_are_counted_once() {
    let rig = Rig::new();
    let batch = [traced(), Headers::new()];
    rig.orders.receive(&batch).run(|| {
        for message in &batch {
            rig.orders.process(message).after_receive().run(|| ());
        }
    });
    rig.orders.send(&mut Headers::new()).batch(5).run(|| ());
    let metrics = rig.metrics();
    let counted: Vec<_> = metrics.iter().map(|line| line.split_once('{').unwrap().0).collect();
    assert_eq!(
        counted,
        [
            "messaging.client.consumed.messages=2",
            "messaging.client.operation.duration=1",
            "messaging.client.operation.duration=1",
            "messaging.client.sent.messages=5",
            "messaging.process.duration=2",
        ]
    );
}

#[test]
fn the_duration_is_that_of_the_span() {
    let rig = Rig::new();
    let asked = SystemTime::now() - Duration::from_millis(1500);
    rig.orders.receive_with(asked, &[traced()], |_| []).run(|| ());
    rig.metrics();
    let span = rig.span("receive orders");
    let duration = span.end_time.duration_since(span.start_time).unwrap().as_secs_f64();
    assert!(duration >= 1.5);
    assert_eq!(*rig.points.1.lock().unwrap(), [duration]);
}

// Processing.

/// The parent, and the links that are not the message's.
#[track_caller]
fn process_in(ambient: bool, change: impl Fn(Destination) -> Destination) -> (SpanData, SpanId) {
    let rig = Rig::new();
    let orders = change(rig.orders.clone());
    let cx = if ambient { rig.ambient() } else { Context::new() };
    cx.run(|| {
        let before = current();
        orders.process(&traced()).run(|| assert_ne!(current(), before));
        assert_eq!(current(), before);
    });
    (rig.span("process orders"), cx.span().span_context().span_id())
}

#[test]
fn relations() {
    let (span, ambient) = process_in(true, |orders| orders);
    assert_eq!((span.parent_span_id, linked(&span)), (ambient, vec![CREATION]));
    assert!(!span.parent_span_is_remote);
    let (span, _) = process_in(false, |orders| orders);
    assert_eq!((span.parent_span_id, linked(&span)), (CREATION, vec![CREATION]));
    assert!(span.parent_span_is_remote);

    let parent = |orders: Destination| orders.relation(Relation::Parent);
    let (span, ambient) = process_in(true, parent);
    assert_eq!((span.parent_span_id, linked(&span)), (CREATION, vec![CREATION, ambient]));
    let (span, _) = process_in(false, parent);
    assert_eq!((span.parent_span_id, linked(&span)), (CREATION, vec![CREATION]));

    let link = |orders: Destination| orders.relation(Relation::Link);
    let (span, ambient) = process_in(true, link);
    assert_eq!((span.parent_span_id, linked(&span)), (ambient, vec![CREATION]));
    let (span, _) = process_in(false, link);
    assert_eq!((span.parent_span_id, linked(&span)), (SpanId::INVALID, vec![CREATION]));
    assert_ne!(span.span_context.trace_id(), CREATION_TRACE);
}

#[test]
fn senders_that_are_not_trusted() {
    for relation in [Relation::Auto, Relation::Parent, Relation::Link] {
        let link_only = |orders: Destination| orders.trust(Trust::LinkOnly).relation(relation);
        let (span, _) = process_in(false, link_only);
        assert_eq!((span.parent_span_id, linked(&span)), (SpanId::INVALID, vec![CREATION]), "{relation:?}");
        assert_ne!(span.span_context.trace_id(), CREATION_TRACE);
        let (span, ambient) = process_in(true, link_only);
        assert_eq!((span.parent_span_id, linked(&span)), (ambient, vec![CREATION]), "{relation:?}");

        let ignore = |orders: Destination| orders.trust(Trust::Ignore).relation(relation);
        let (span, _) = process_in(false, ignore);
        assert_eq!((span.parent_span_id, linked(&span)), (SpanId::INVALID, vec![]), "{relation:?}");
    }

    let rig = Rig::new();
    let orders = rig.orders.clone().trust(Trust::Ignore);
    orders.receive(&[traced()]).link_to(&traced()).run(|| ());
    assert!(rig.span("receive orders").links.is_empty());
}

/// The baggage that a handler sees, sorted.
fn baggage_in(cx: &Context, orders: &Destination, baggage: &str) -> Vec<String> {
    let mut message = traced();
    message.append("baggage", baggage);
    let seen = cx.run(|| orders.process(&message).run(|| Some(Context::current()))).unwrap();
    let mut seen: Vec<_> = seen.baggage().iter().map(|(name, (value, _))| format!("{name}={value}")).collect();
    seen.sort();
    seen
}

#[test]
fn baggage() {
    let rig = Rig::new();
    let none = Context::new();
    let with = |policy| rig.orders.clone().baggage(policy);
    assert_eq!(baggage_in(&none, &rig.orders, "a=1,b=2"), ["a=1", "b=2"]);
    assert!(baggage_in(&none, &with(BaggagePolicy::Strip), "a=1,b=2").is_empty());
    assert_eq!(baggage_in(&none, &with(BaggagePolicy::allow(["b", "c"])), "a=1,b=2"), ["b=2"]);
    assert!(baggage_in(&none, &rig.orders.clone().trust(Trust::Ignore), "a=1").is_empty());
    assert_eq!(baggage_in(&none, &rig.orders.clone().trust(Trust::LinkOnly), "a=1"), ["a=1"]);

    let ambient = rig.ambient().with_baggage([KeyValue::new("a", "ours"), KeyValue::new("z", "ours")]);
    assert_eq!(baggage_in(&ambient, &rig.orders, "a=1,b=2"), ["a=ours", "b=2", "z=ours"]);
    let ambient = none.with_baggage([KeyValue::new("a", "somebody's")]);
    assert_eq!(baggage_in(&ambient, &rig.orders, "b=2"), ["b=2"], "a child of the message inherits nothing");
}

#[test]
fn oversized_baggage_does_not_reach_the_handler() {
    let rig = Rig::new();
    let baggage = (0..1000).map(|n| format!("k{n}={}", "x".repeat(50))).collect::<Vec<_>>().join(",");
    for cx in [Context::new(), rig.ambient().with_baggage((0..60).map(|n| KeyValue::new(format!("ours{n}"), n)))] {
        let seen = baggage_in(&cx, &rig.orders, &baggage);
        assert!(!seen.is_empty() && seen.len() <= 64);
        assert!(seen.iter().map(String::len).sum::<usize>() <= 8192);
    }
    let spans = rig.recorder.spans();
    assert_eq!(spans[0].events.events[0].name, "ctxhop.context_rejected");
    assert_eq!(listed(&spans[0].events.events[0].attributes), "ctxhop.reason=the baggage of the message is too long");
}

#[test]
fn broken_headers_are_an_event_and_no_obstacle() {
    let rig = Rig::new();
    let message = Headers::from_iter([("traceparent", "00-0-0-01")]);
    assert_eq!(rig.orders.process(&message).run(|| Ok::<_, NoApples>(7)), Ok(7));
    let span = rig.span("process orders");
    assert_eq!((span.parent_span_id, linked(&span)), (SpanId::INVALID, vec![]));
    assert_eq!(listed(&span.events.events[0].attributes), "ctxhop.reason=the traceparent of the message is malformed");
}

#[test]
fn a_message_does_not_switch_telemetry_on() {
    let rig = Rig::new();
    let seen = Context::new().with_telemetry_suppressed().run(|| {
        rig.orders.process(&traced()).run(|| {
            drop(rig.recorder.tracer("test").start("inside"));
            Some(current())
        })
    });
    assert_eq!(seen.unwrap().span_id(), CREATION, "the context flows");
    assert!(rig.recorder.spans().is_empty() && rig.metrics().is_empty());
}

#[test]
fn a_reply_is_in_the_trace_of_the_message() {
    let rig = Rig::new();
    let replies = rig.connect(Destination::new("rabbitmq", "replies").anonymous().temporary());
    let (mut message, mut reply) = (Headers::new(), Headers::new());
    rig.orders.send(&mut message).run(|| ());
    rig.orders.process(&message).run(|| {
        replies.send(&mut reply).run(|| ());
        rig.orders.settle(Settlement::Ack).run(|| ());
    });
    replies.process(&reply).run(|| ());
    let tree = rig.recorder.tree();
    tree.assert_single_trace();
    assert_eq!(
        tree.display().durations(false).to_string(),
        "\
send orders [producer]
└─ process orders [consumer] ~> send orders
   ├─ ack orders [client]
   └─ send [producer]
      └─ process [consumer] ~> send"
    );
}

#[test]
fn a_second_attempt_is_linked_to_the_first() {
    let rig = Rig::new();
    let first = rig.orders.process(&traced()).delivery_count(1);
    let attempt = first.context().span().span_context().clone();
    first.run(|| Err::<(), _>(NoApples)).unwrap_err();
    rig.orders.process(&traced()).delivery_count(2).link(attempt.clone()).run(|| ());

    let spans = rig.recorder.spans();
    assert_eq!(linked(&spans[1]), [CREATION, attempt.span_id()]);
    assert!(listed(&spans[1].attributes).contains("rabbitmq.message.delivery_count=2"));
    let pubsub = rig.connect(Destination::new("gcp_pubsub", "orders"));
    pubsub.process(&traced()).delivery_count(3).run(|| ());
    assert!(listed(&rig.recorder.spans()[2].attributes).contains("gcp_pubsub.message.delivery_attempt=3"));
}

#[test]
fn the_global_propagator_need_not_be_set() {
    let rig = Rig::new();
    let orders = Destination::new("rabbitmq", "orders").with_tracer_provider(rig.recorder.provider());
    rig.ambient().run(|| orders.send(&mut Headers::new()).run(|| ()));
    let span = rig.span("send orders");
    assert_eq!(span.span_kind, SpanKind::Producer);
    assert!(span.links.is_empty(), "what is current is not the message's");
}

// What is said.

#[test]
fn destinations() {
    let rig = Rig::new();
    let all = Destination::new("kafka", "customers.4711")
        .template("customers.{id}")
        .anonymous()
        .temporary()
        .partition("3")
        .consumer_group("billing")
        .subscription("sub")
        .server("broker.example.com", 9092)
        .client_id("me");
    let all = rig.connect(all);
    all.process(&Headers::new()).partition("4").run(|| ());
    all.send(&mut Headers::new()).run(|| ());

    let span = rig.span("process customers.{id}");
    assert_eq!(
        listed(&span.attributes),
        "client.id=me consumer.group.name=billing destination.anonymous=true destination.name=customers.4711 \
         destination.partition.id=3 destination.subscription.name=sub destination.template=customers.{id} \
         destination.temporary=true operation.name=process operation.type=process server.address=broker.example.com \
         server.port=9092 system=kafka"
    );
    let span = rig.span("send customers.{id}");
    assert!(!listed(&span.attributes).contains("consumer.group"));
    let metrics = rig.metrics();
    assert_eq!(
        metrics[0],
        "messaging.client.consumed.messages=1{consumer.group.name=billing destination.partition.id=3 \
         destination.subscription.name=sub destination.template=customers.{id} operation.name=process \
         server.address=broker.example.com server.port=9092 system=kafka}"
    );
    assert!(metrics.iter().all(|line| !line.contains("4711")), "{metrics:?}");
    assert!(format!("{all:?}").contains("customers.{id}"));
}

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
    for settlement in [Settlement::Ack, Settlement::Nack, Settlement::Reject, Settlement::Other("commit")] {
        rig.orders.settle(settlement).run(|| ());
    }
    let names: Vec<_> = rig.recorder.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["ack orders", "nack orders", "reject orders", "commit orders"]);
}

#[test]
fn error_types_of_ones_own() {
    let rig = Rig::new();
    let by_error = |operation: Operation| operation.error_type(|_: &NoApples| format!("sold_{}", "out"));
    by_error(rig.orders.process(&traced())).run(|| Err::<(), _>(NoApples)).unwrap_err();
    let running = by_error(rig.orders.process(&traced())).run_async(async { Err::<(), _>(NoApples) });
    futures::executor::block_on(running).unwrap_err();
    by_error(rig.orders.process(&traced())).run(|| Ok::<_, NoApples>(())).unwrap();
    let failures: Vec<_> =
        rig.recorder.spans().iter().map(|span| listed(&span.attributes).contains("error.type=sold_out")).collect();
    assert_eq!(failures, [true, true, false]);

    assert!(().failure().is_none() && None::<u8>.failure().is_none());
}

#[test]
fn a_changed_clone_leaves_the_original() {
    let rig = Rig::new();
    let other = rig.orders.clone().template("orders.{id}");
    rig.orders.send(&mut Headers::new()).run(|| ());
    other.send(&mut Headers::new()).run(|| ());
    rig.span("send orders");
    rig.span("send orders.{id}");
}
