//! What spans say: each attribute once, what a message tells of itself, what samplers see; and nothing that nobody records.

use std::{
    cell::Cell,
    collections::HashSet,
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use ctxhop::{
    Snapshot,
    carrier::{Carrier, Headers},
    messaging::{Destination, Settlement},
    queue,
    testing::TraceRecorder,
};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    trace::{Link, SpanBuilder, SpanKind, TraceId, TraceState, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample, Span,
};

use crate::rig::{CREATION, Rig, linked, listed, traced};

/// A message that counts how often it is asked for what it is.
#[derive(Default)]
struct Asked {
    headers: Headers,
    times: Cell<u32>,
}

impl Carrier for Asked {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        self.headers.set(key, value)
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.times.set(self.times.get() + 1);
        [KeyValue::new("messaging.message.id", "17"), KeyValue::new("messaging.destination.name", "elsewhere")]
            .into_iter()
    }
}

#[test]
fn a_message_tells_what_it_is() {
    let rig = Rig::new();
    rig.orders.send(&mut Asked::default()).run(|| ());
    rig.orders.create(&mut Asked::default()).run(|| ());
    rig.orders.process(&Asked::default()).run(|| ());
    for span in rig.recorder.spans() {
        let said = listed(&span.attributes);
        assert!(said.contains("message.id=17") && said.contains("destination.name=orders"), "{said}");
    }
}

#[test]
fn nobody_is_asked_for_what_nobody_records() {
    let unsampled = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff);
    let rig = Rig::with_recorder(TraceRecorder::with_provider(unsampled));
    let silent = Destination::new("rabbitmq", "orders");
    for orders in [&rig.orders, &silent] {
        let mut message = Asked::default();
        orders.send(&mut message).run(|| ());
        orders.process(&message).attributes(iter::from_fn(|| unreachable!("nobody records"))).run(|| ());
        orders.settle(Settlement::Ack, &message).run(|| ());
        assert_eq!(message.times.get(), 0);
    }
}

#[test]
fn the_delivery_count_has_the_name_that_its_system_has() {
    for (system, name) in [
        ("gcp_pubsub", "messaging.gcp_pubsub.message.delivery_attempt"),
        ("servicebus", "messaging.servicebus.message.delivery_count"),
        ("rabbitmq", "ctxhop.delivery_count"),
    ] {
        let rig = Rig::new();
        rig.connect(Destination::new(system, "orders")).process_attempt(&traced(), 3).run(|| ());
        let process = rig.span("process orders");
        assert!(process.attributes.contains(&KeyValue::new(name, 3)), "{}", listed(&process.attributes));
    }
}

/// Whatever is said, and however often.
#[test]
fn no_attribute_is_there_twice() {
    let rig = Rig::new();
    let orders = rig.connect(Destination::new("kafka", "orders").partition("1").consumer_group("billing"));
    let count = "ctxhop.delivery_count";
    orders
        .process_attempt(&Asked::default(), 2)
        .message_id("18")
        .message_id("19")
        .partition("2")
        .delivery_count(3)
        .attribute(count, 4)
        .attribute("messaging.destination.name", "elsewhere")
        .attribute("messaging.consumer.group.name", "elsewhere")
        .attribute("messaging.destination.partition.id", "9")
        .attribute("error.type", "made up")
        .run(|| Err::<(), _>("no apples"))
        .unwrap_err();
    assert_eq!(
        listed(&rig.span("process orders").attributes),
        "consumer.group.name=billing ctxhop.delivery_count=2 destination.name=orders destination.partition.id=1 \
         error.type=&str message.id=19 operation.name=process operation.type=process system=kafka"
    );

    let batch = [traced(), traced()];
    rig.orders.receive(&batch).batch(9).run(|| ());
    rig.orders.process_batch(&batch).batch(9).run(|| ());
    rig.orders.settle_batch(Settlement::Ack, &batch).batch(9).run(|| ());
    rig.orders
        .operation_name("publish")
        .send(&mut Headers::new())
        .attribute("messaging.operation.name", "x")
        .run(|| ());
    let (publisher, consumer) = queue::unbounded(rig.connect(Destination::in_memory("queued")));
    publisher.try_publish(7).unwrap();
    let mut delivery = consumer.try_recv().unwrap();
    delivery.process().attribute("ctxhop.time_in_queue", 9).delivery_count(9).run(|| ());
    delivery.ack();
    for span in rig.recorder.spans() {
        let keys: HashSet<_> = span.attributes.iter().map(|attribute| &attribute.key).collect();
        assert_eq!(keys.len(), span.attributes.len(), "{}: {}", span.name, listed(&span.attributes));
    }
    assert!(
        listed(&rig.span("ack orders").attributes).contains("batch.message_count=9"),
        "of many only some are linked"
    );
}

/// Keeps what it is asked about.
#[derive(Clone, Debug, Default)]
struct Asking(Arc<Mutex<Vec<String>>>);

impl ShouldSample for Asking {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        self.0.lock().unwrap().push(format!("{name} {kind:?} {} +{}", listed(attributes), links.len()));
        SamplingResult { decision: SamplingDecision::Drop, attributes: Vec::new(), trace_state: TraceState::default() }
    }
}

#[test]
fn samplers_see_what_is_known_at_the_start() {
    let asking = Asking::default();
    let provider = SdkTracerProvider::builder().with_sampler(asking.clone());
    let rig = Rig::with_recorder(TraceRecorder::with_provider(provider));
    rig.orders.process_attempt(&traced(), 3).run(|| ());
    rig.orders.receive(&[traced(), traced()]).run(|| ());
    let (publisher, consumer) = queue::unbounded(rig.connect(Destination::in_memory("orders")));
    publisher.try_publish(7).unwrap();
    consumer.try_recv().unwrap().process().run(|| ());
    let asked = asking.0.lock().unwrap();
    assert_eq!(
        *asked,
        [
            "process orders Consumer ctxhop.delivery_count=3 destination.name=orders operation.name=process \
             operation.type=process system=rabbitmq +1",
            "receive orders Client batch.message_count=2 destination.name=orders operation.name=receive \
             operation.type=receive system=rabbitmq +2",
            "send orders Producer destination.name=orders operation.name=send operation.type=send system=in_memory +0",
            "process orders Consumer ctxhop.delivery_count=1 destination.name=orders operation.name=process \
             operation.type=process system=in_memory +1",
        ]
    );
}

/// Samples when it is switched on.
#[derive(Clone, Debug, Default)]
struct Sometimes(Arc<AtomicBool>);

impl ShouldSample for Sometimes {
    fn should_sample(
        &self,
        cx: Option<&Context>,
        id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampler = if self.0.load(Ordering::Relaxed) { Sampler::AlwaysOn } else { Sampler::AlwaysOff };
        sampler.should_sample(cx, id, name, kind, attributes, links)
    }
}

#[test]
fn a_span_that_is_sampled_after_others_were_not_has_all_that_a_span_has() {
    let sometimes = Sometimes::default();
    let provider = SdkTracerProvider::builder().with_sampler(sometimes.clone());
    let rig = Rig::with_recorder(TraceRecorder::with_provider(provider));
    rig.orders.process(&traced()).run(|| ());
    sometimes.0.store(true, Ordering::Relaxed);

    let before = SystemTime::now();
    let during = rig.orders.process(&traced()).run(|| Some(SystemTime::now())).unwrap();
    let span = rig.span("process orders");
    assert!(before <= span.start_time && span.start_time <= during, "{before:?} {span:?}");
    assert!(during <= span.end_time && span.end_time <= SystemTime::now(), "{during:?} {span:?}");
    assert_eq!(
        listed(&span.attributes),
        "destination.name=orders operation.name=process operation.type=process system=rabbitmq"
    );
    assert_eq!(linked(&span), [CREATION]);
}

/// Makes no spans until it is switched on.
#[derive(Clone)]
struct Switched {
    on: Arc<AtomicBool>,
    tracer: SdkTracer,
    /// How many attributes it was given.
    given: Arc<AtomicUsize>,
}

impl TracerProvider for Switched {
    type Tracer = Self;

    fn tracer_with_scope(&self, _: InstrumentationScope) -> Self {
        self.clone()
    }
}

impl Tracer for Switched {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, cx: &Context) -> Span {
        self.given.store(builder.attributes.as_ref().map_or(0, Vec::len), Ordering::Relaxed);
        let cx = if self.on.load(Ordering::Relaxed) { cx.clone() } else { cx.with_telemetry_suppressed() };
        self.tracer.build_with_context(builder, &cx)
    }
}

#[test]
fn a_tracer_that_makes_no_spans_is_told_nothing_until_it_does() {
    let rig = Rig::new();
    let tracer = Switched { on: Arc::default(), tracer: rig.recorder.tracer("test"), given: Arc::default() };
    let orders = rig.orders.clone().with_tracer_provider(&tracer);
    let given = || {
        orders.process_attempt(&traced(), 3).run(|| ());
        tracer.given.load(Ordering::Relaxed)
    };
    assert_eq!([given(), given(), given()], [5, 0, 0]);
    tracer.on.store(true, Ordering::Relaxed);
    assert_eq!([given(), given()], [0, 5]);
    // Nobody records what is suppressed, which says nothing about the tracer.
    Context::new().with_telemetry_suppressed().run(given);
    assert_eq!(given(), 5);
    let said: Vec<_> = rig
        .recorder
        .spans()
        .iter()
        .map(|it| format!("{} {} {:?}", it.name, listed(&it.attributes), linked(it)))
        .collect();
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|other| *other == said[0]), "{said:?}");
    assert!(said[0].contains("delivery_count=3") && said[0].contains(&format!("{CREATION}")), "{}", said[0]);
}
