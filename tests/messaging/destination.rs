//! What goes into a message, what a span links to, and what is said of the destination.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use ctxhop::{
    carrier::Headers,
    messaging::{Destination, Operation, Settlement},
    prelude::*,
    testing::TraceRecorder,
};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, TraceContextExt},
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use static_assertions::assert_impl_all;

use crate::rig::{CREATION, CREATION_TRACE, PARENT, Rig, current, linked, listed, traced};

assert_impl_all!(Destination: Send, Sync, Clone, fmt::Debug);

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
fn while_telemetry_is_suppressed_nothing_is_recorded_and_the_context_flows() {
    let starts: [fn(&Destination) -> Operation; 8] = [
        |orders| orders.send(&mut Headers::new()),
        |orders| orders.send_batch(&mut [Headers::new()]),
        |orders| orders.create(&mut Headers::new()),
        |orders| orders.receive(&[traced()]),
        |orders| orders.process(&Headers::new()),
        |orders| orders.process_batch(&[traced()]),
        |orders| orders.settle(Settlement::Ack, &Headers::new()),
        |orders| orders.settle_batch(Settlement::Ack, &[traced()]),
    ];
    for (at, start) in starts.into_iter().enumerate() {
        let rig = Rig::new();
        let outer = rig.ambient().with_telemetry_suppressed();
        outer.run(|| {
            start(&rig.orders).run(|| {
                assert_eq!(&current(), outer.span().span_context(), "{at}");
                assert!(Context::is_current_telemetry_suppressed(), "{at}");
            });
        });
        assert!(rig.recorder.spans().is_empty() && rig.metrics().is_empty(), "{at}");
    }
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

// Batches.

#[test]
fn an_empty_batch_is_no_span() {
    let rig = Rig::new();
    let ambient = rig.ambient();
    let seen = ambient.run(|| rig.orders.receive(&Vec::<Headers>::new()).message_id("1").run(|| Some(current())));
    assert_eq!(seen.as_ref(), Some(ambient.span().span_context()));
    ambient.run(|| rig.orders.send_batch(&mut Vec::<Headers>::new()).run(|| ()));
    let seen = ambient.run(|| rig.orders.process_batch(&Vec::<Headers>::new()).run(|| Some(current())));
    assert_eq!(seen.as_ref(), Some(ambient.span().span_context()));
    drop(rig.orders.receive(&[] as &[Headers]));
    ambient.run(|| rig.orders.settle_batch(Settlement::Ack, &[] as &[Headers]).run(|| ()));

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

    rig.orders.process_batch_with(&batch, id).run(|| ());
    rig.orders.send_batch_with(&mut batch, id).run(|| ());

    for name in ["receive orders", "process orders", "send orders"] {
        let span = rig.span(name);
        assert_eq!(linked(&span), [CREATION, CREATION], "{name}");
        let ids: Vec<_> = span.links.iter().map(|link| listed(&link.attributes)).collect();
        assert_eq!(ids, ["message.id=a", "message.id=c"], "{name}");
        assert!(!listed(&span.attributes).contains("message.id"), "{name}");
    }
    let span = rig.span("receive orders");
    assert_eq!(span.start_time, asked);
    assert!(span.end_time >= asked + hour);
    assert!(batch[1].get("traceparent").is_some(), "who had no context got the send's");
}

#[test]
fn each_operation_may_have_a_name_of_its_own() {
    let rig = Rig::new();
    let poll = rig.orders.operation_name("poll");
    poll.receive(&[traced()]).run(|| ());
    poll.operation_name("take").receive(&[traced()]).run(|| ());
    rig.orders.operation_name("commit").settle(Settlement::Ack, &Headers::new()).run(|| ());
    rig.orders.receive(&[traced()]).run(|| ());
    let names: Vec<_> = rig.recorder.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["poll orders", "take orders", "commit orders", "receive orders"]);
    assert!(format!("{:?}", poll.create(&mut Headers::new())).contains("poll"));
}

// What it is.

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
fn one_of_many() {
    let rig = Rig::new();
    let sensors = rig.connect(Destination::new("mqtt", "sensors/+"));
    sensors.at("sensors/4711").process(&Headers::new()).run(|| ());
    sensors.at("sensors/4712").process(&Headers::new()).run(|| ());
    sensors.clone().template("sensors/{id}").at("sensors/4713").send(&mut Headers::new()).run(|| ());
    sensors.at("sensors/+").send(&mut Headers::new()).run(|| ());
    rig.connect(Destination::new("mqtt", "x").anonymous()).at("y").send(&mut Headers::new()).run(|| ());
    sensors.at("sensors/4714").operation_name("poll").receive(&[Headers::new()]).run(|| ());
    assert_eq!((sensors.name(), sensors.at("sensors/4711").name()), ("sensors/+", "sensors/4711"));

    let said: Vec<_> =
        rig.recorder.spans().iter().map(|it| format!("{}: {}", it.name, listed(&it.attributes))).collect();
    let expected = [
        "process sensors/+: destination.name=sensors/4711 destination.template=sensors/+ operation.name=process",
        "process sensors/+: destination.name=sensors/4712 destination.template=sensors/+ operation.name=process",
        "send sensors/{id}: destination.name=sensors/4713 destination.template=sensors/{id} operation.name=send",
        "send sensors/+: destination.name=sensors/+ operation.name=send",
        "send: destination.anonymous=true destination.name=y operation.name=send",
        "poll sensors/+: batch.message_count=1 destination.name=sensors/4714 destination.template=sensors/+",
    ];
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}");
    }
    let metrics = rig.metrics();
    assert!(metrics.iter().all(|line| !line.contains("471")), "{metrics:?}");
    assert!(metrics[1].contains("=2{destination.template=sensors/+ "), "one series for all: {metrics:?}");
    assert!(format!("{:?}", sensors.at("sensors/4711")).contains("sensors/4711"));
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

#[test]
fn the_global_propagator_need_not_be_set() {
    let rig = Rig::new();
    let orders = Destination::new("rabbitmq", "orders").with_tracer_provider(rig.recorder.provider());
    rig.ambient().run(|| orders.send(&mut Headers::new()).run(|| ()));
    let span = rig.span("send orders");
    assert_eq!(span.span_kind, SpanKind::Producer);
    assert!(span.links.is_empty(), "what is current is not the message's");
}
