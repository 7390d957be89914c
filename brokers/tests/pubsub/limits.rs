//! What Pub/Sub has room for, and what else is in the attributes.

use std::collections::HashMap;

use ctxhop::{
    Snapshot,
    carrier::{Carrier, extract_with, inject_with},
    clients::google_cloud_pubsub_1::published,
};
use ctxhop_brokers::rig::propagator;
use google_cloud_pubsub::model::Message;
use opentelemetry::{Context, KeyValue, baggage::BaggageExt, trace::TraceContextExt};

use crate::shop::{Shop, apples};

/// Ten members of 200 bytes.
fn much_baggage() -> Context {
    Context::new().with_baggage((0..10).map(|n| KeyValue::new(format!("key{n}"), "x".repeat(195))))
}

#[tokio::test]
async fn baggage_loses_whole_members_and_the_message_goes() {
    let shop = Shop::new().await;
    much_baggage().run_async(async || shop.send(apples()).await).await;
    let received = shop.next("billing").await;
    let baggage = received.get_all("baggage").next().expect("what fits");
    assert!(baggage.len() <= 1024, "{}", baggage.len());
    let members: Vec<_> = baggage.split(',').collect();
    assert_eq!(members.len(), 5);
    assert!(members.iter().all(|member| member.len() == 200), "{members:?}");
    let events = &shop.rig.spans("send orders")[0].events;
    assert!(events.iter().any(|event| event.name == "ctxhop.context_refused"), "{events:?}");
}

#[test]
fn a_message_takes_no_line_break() {
    let mut message = Message::new();
    for (key, value) in [("two\nlines", "value"), ("key", "two\nlines"), ("two\r", "lines\0")] {
        assert!(!message.set(key, value.to_owned()));
    }
    assert!(message.attributes.is_empty());
}

#[test]
fn a_message_has_a_hundred_attributes_and_not_one_more() {
    let full = (0..100).map(|n| (format!("key{n}"), "value".to_owned()));
    let mut message = Message::new().set_attributes(full.clone());
    assert!(!message.set("traceparent", "00".to_owned()));
    assert_eq!(message.attributes, full.collect());

    message.attributes.remove("key0");
    assert!(message.set("traceparent", "00".to_owned()));
    assert!(message.set("traceparent", "01".to_owned()), "it takes the place of the first");
    assert!(!message.set("tracestate", "a=b".to_owned()));
    assert_eq!(message.attributes["googclient_traceparent"], "01");
    assert_eq!(message.attributes.len(), 100);
}

#[test]
fn keys_and_values_that_are_too_long_are_refused() {
    let mut message = Message::new();
    assert!(message.set("key", "x".repeat(1024)));
    assert!(!message.set("key", "x".repeat(1025)));
    assert!(message.set(&"k".repeat(256 - "googclient_".len()), "x".to_owned()));
    assert!(!message.set(&"k".repeat(257 - "googclient_".len()), "x".to_owned()));
}

#[test]
fn only_the_prefixed_attributes_are_the_context() {
    let cx = much_baggage().with_baggage([KeyValue::new("tenant", "acme")]);
    let mut message =
        Message::new().set_attributes([("color", "red"), ("baggage", "tenant=evil"), ("googclient_x", "1")]);
    inject_with(&propagator(), &cx, &mut message);
    let mut keys: Vec<_> = message.keys().collect();
    keys.sort();
    assert_eq!(keys, ["baggage", "x"]);
    assert_eq!(extract_with(&propagator(), &message).baggage().get("tenant").unwrap().as_str(), "acme");
    // Without the prefix, for those who write it so.
    assert_eq!(extract_with(&propagator(), &message.attributes).baggage().get("tenant").unwrap().as_str(), "evil");
}

/// The client's own tracing writes nothing into messages, so the context is there once.
#[tokio::test]
async fn the_clients_own_tracing_injects_nothing() {
    let shop = Shop::new().await;
    let publisher = shop.pubsub.publisher_builder("orders").with_tracing().build().await.unwrap();
    let mut message = apples();
    let send = shop.orders.send(&mut message).on_ok(published);
    let sent = send.context().span().span_context().clone();
    send.run_async(|| publisher.publish(message)).await.unwrap();

    let received = shop.next("billing").await;
    assert_eq!(received.attributes.keys().collect::<Vec<_>>(), ["googclient_traceparent"]);
    let cx = extract_with(&propagator(), &received);
    assert_eq!(cx.span().span_context().span_id(), sent.span_id());

    publisher.publish(apples()).await.unwrap();
    assert_eq!(shop.next("billing").await.attributes, HashMap::new());
}
