//! Whose child the span of a `process` is, and what its handler sees.

use ctxhop::{
    carrier::Headers,
    messaging::{BaggagePolicy, Destination, Relation, Settlement, Trust},
    prelude::*,
    queue::{self, Message},
};
use futures::executor::block_on;
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    trace::{SpanId, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SpanData;

use crate::rig::{CREATION, CREATION_TRACE, NoApples, PARENT, Rig, current, linked, listed, propagator, traced};

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

/// No span of ours takes the stranger's place: nothing is sampled, or there is no SDK.
#[test]
fn what_a_distrusted_sender_says_is_not_sent_on() {
    let orders = Destination::new("rabbitmq", "orders").with_propagator(propagator());
    for trust in [Trust::Continue, Trust::LinkOnly, Trust::Ignore] {
        let mut message = traced();
        message.insert("baggage", "admin=true");
        message.insert("content-type", "text/plain");
        orders.clone().trust(trust).send(&mut message).run(|| ());
        let kept: Vec<_> = message.keys().collect();
        let distrusted = trust != Trust::Continue;
        assert_eq!(
            kept,
            if distrusted { vec!["content-type"] } else { vec!["traceparent", "baggage", "content-type"] }
        );
    }
}

#[test]
fn a_batch_is_nobodys_child_but_that_of_what_is_current() {
    for relation in [Relation::Auto, Relation::Parent, Relation::Link] {
        for trust in [Trust::Continue, Trust::LinkOnly, Trust::Ignore] {
            let rig = Rig::new();
            let orders = rig.orders.clone().relation(relation).trust(trust);
            let mut batch = [traced(), traced()];
            batch[0].append("baggage", "tenant=7");
            let links = if trust == Trust::Ignore { vec![] } else { vec![CREATION, CREATION] };

            let value = Context::new().with_value("somebody's").with_baggage([KeyValue::new("a", "somebody's")]);
            let seen = value.run(|| orders.process_batch(&batch).run(|| Some(Context::current()))).unwrap();
            assert!(seen.baggage().is_empty() && seen.get::<&str>().is_none(), "a new root inherits nothing");
            drop(seen);
            let span = rig.span("process orders");
            assert_eq!(
                (span.parent_span_id, linked(&span)),
                (SpanId::INVALID, links.clone()),
                "{relation:?} {trust:?}"
            );
            assert_ne!(span.span_context.trace_id(), CREATION_TRACE);

            rig.recorder.clear();
            let ambient = rig.ambient().with_value("ours").with_baggage([KeyValue::new("a", "ours")]);
            let seen = ambient.run(|| orders.process_batch(&batch).run(|| Some(Context::current()))).unwrap();
            assert_eq!((seen.get(), seen.baggage().len()), (Some(&"ours"), 1), "what is current, and no sender's");
            drop(seen);
            let span = rig.span("process orders");
            let parent = ambient.span().span_context().span_id();
            assert_eq!((span.parent_span_id, linked(&span)), (parent, links), "{relation:?} {trust:?}");
        }
    }
}

#[test]
fn broken_headers_in_a_batch_are_events() {
    let rig = Rig::new();
    let broken = || Headers::from_iter([("traceparent", "00-0-0-01")]);
    rig.orders.process_batch(&[broken(), traced(), broken()]).run(|| ());
    let span = rig.span("process orders");
    assert_eq!(linked(&span), [CREATION]);
    let events: Vec<_> = span.events.events.iter().map(|event| listed(&event.attributes)).collect();
    assert_eq!(events, ["ctxhop.reason=the traceparent of the message is malformed"; 2]);
}

#[test]
fn a_batch_does_not_switch_telemetry_on() {
    let rig = Rig::new();
    Context::new().with_telemetry_suppressed().run(|| {
        rig.orders.process_batch(&[traced()]).run(|| drop(rig.recorder.tracer("test").start("inside")));
    });
    assert!(rig.recorder.spans().is_empty() && rig.metrics().is_empty());
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
        rig.orders.settle(Settlement::Ack, &Headers::new()).run(|| ());
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

/// Sends a message, and gives its headers back as a receiver sees them.
type Sends = fn(&Destination, Headers) -> Headers;

const SENDS: [(&str, Sends); 4] = [
    ("send", |orders, mut message| {
        orders.send(&mut message).run(|| ());
        message
    }),
    ("create", |orders, mut message| {
        orders.create(&mut message).run(|| ());
        message
    }),
    ("send_batch", |orders, message| {
        let mut batch = [message];
        orders.send_batch(&mut batch).run(|| ());
        let [message] = batch;
        message
    }),
    ("publish_message", |orders, message| {
        let (publisher, consumer) = queue::unbounded(orders.clone());
        block_on(publisher.publish_message(Message::new(()).with_headers(message))).unwrap();
        consumer.try_recv().unwrap().headers.clone()
    }),
];

/// A stranger's message is sent on: what is in it afterwards, and how many links the span has, if there is a span.
fn sent_on(
    sends: Sends,
    trust: Trust,
    policy: BaggagePolicy,
    baggage: &str,
) -> (String, Option<String>, Option<usize>) {
    let rig = Rig::new();
    let orders = rig.orders.clone().trust(trust).baggage(policy);
    let message = sends(&orders, Headers::from_iter([("traceparent", PARENT), ("baggage", baggage)]));
    let links = rig.recorder.spans().pop().map(|span| span.links.len());
    (message.get("traceparent").unwrap().to_owned(), message.get("baggage").map(ToOwned::to_owned), links)
}

/// Where nothing is injected that would take its place.
#[test]
fn baggage_without_a_trace_is_not_sent_on_where_there_is_no_span() {
    let rig = Rig::new();
    for (policy, baggage) in [
        (BaggagePolicy::Keep, Some("tenant=acme,role=admin")),
        (BaggagePolicy::Strip, None),
        (BaggagePolicy::allow(["tenant"]), Some("tenant=acme")),
    ] {
        let orders = rig.orders.clone().baggage(policy);
        let mut message = Headers::from_iter([("baggage", "tenant=acme,role=admin")]);
        Context::new().with_telemetry_suppressed().run(|| orders.send(&mut message).run(|| ()));
        assert_eq!(message.get("baggage"), baggage);
    }
}

#[test]
fn the_policies_hold_for_what_is_sent_on() {
    const BAGGAGE: &str = "role=admin,tenant=acme";
    for (name, sends) in SENDS {
        // What is created already is not created again.
        let linked = (name != "create").then_some(1);
        for (policy, baggage, expected) in [
            (BaggagePolicy::Keep, BAGGAGE, Some(BAGGAGE)),
            (BaggagePolicy::Strip, BAGGAGE, None),
            (BaggagePolicy::allow(["tenant"]), BAGGAGE, Some("tenant=acme")),
            // Nobody can tell what is in it, and a laxer receiver may read it.
            (BaggagePolicy::Strip, "role admin", None),
        ] {
            let sent = sent_on(sends, Trust::Continue, policy, baggage);
            assert_eq!(sent, (PARENT.to_owned(), expected.map(ToOwned::to_owned), linked), "{name}: {baggage}");
        }
        for (trust, links_expected) in [(Trust::LinkOnly, 1), (Trust::Ignore, 0)] {
            let (traceparent, baggage, links) = sent_on(sends, trust, BaggagePolicy::Keep, BAGGAGE);
            assert_ne!(traceparent, PARENT, "{name}: {trust:?}");
            assert_eq!((baggage, links), (None, Some(links_expected)), "{name}: {trust:?}");
        }
    }
}
