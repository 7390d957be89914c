//! What NATS makes of headers, without JetStream.

use async_nats::HeaderMap;
use ctxhop::{Snapshot, carrier::Carrier};
use ctxhop_brokers::{nats::Nats, rig::Rig};
use opentelemetry::{Context, KeyValue, baggage::BaggageExt};

use crate::{next, publish_raw};

#[tokio::test]
async fn a_context_travels_among_repeated_headers() {
    let (rig, nats) = (Rig::new(), Nats::start());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let orders = rig.destination("nats", "orders");
    let mut messages = client.subscribe("orders").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("Via", "a");
    headers.append("Via", "b");
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a b;c,d=ü")]);
    let send = baggage.run(|| orders.send(&mut headers));
    send.run_async(|| client.publish_with_headers("orders", headers, "two apples".into())).await.unwrap();

    let message = next(&mut messages).await;
    assert_eq!(message.get_all("via").collect::<Vec<_>>(), ["a", "b"]);
    orders.process(&message).run(|| {
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), "a b;c,d=ü");
    });
    assert_eq!(rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
}

#[tokio::test]
async fn a_message_without_headers_is_processed() {
    let (rig, nats) = (Rig::new(), Nats::start());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut messages = client.subscribe("orders").await.unwrap();
    client.publish("orders", "two apples".into()).await.unwrap();
    let mut message = next(&mut messages).await;
    rig.destination("nats", "orders").process(&message).run(|| ());
    assert_eq!(rig.drawing(), "process orders [consumer]");
    assert!(message.set("traceparent", "1".into()));
    assert_eq!(message.keys().collect::<Vec<_>>(), ["traceparent"]);
}

#[tokio::test]
async fn a_request_and_its_reply_are_one_trace() {
    let (rig, nats) = (Rig::new(), Nats::start());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let prices = rig.destination("nats", "prices");
    let mut requests = client.subscribe("prices").await.unwrap();
    let (server, server_rig) = (client.clone(), rig.destination("nats", "_INBOX").anonymous().temporary());
    let served = prices.clone();
    let serve = tokio::spawn(async move {
        let request = next(&mut requests).await;
        let answer = async || {
            let mut headers = HeaderMap::new();
            let reply = request.reply.clone().expect("somewhere to reply to");
            let send = server_rig.send(&mut headers);
            send.run_async(|| server.publish_with_headers(reply, headers, "7".into())).await
        };
        served.process(&request).run_async(answer).await.unwrap();
    });

    let mut headers = HeaderMap::new();
    let send = prices.operation_name("request").send(&mut headers);
    let request = || client.request_with_headers("prices", headers, "apples".into());
    let reply = send.run_async(request).await.unwrap();
    serve.await.unwrap();
    rig.destination("nats", "replies").process(&reply).run(|| ());
    assert_eq!(
        rig.drawing(),
        "request prices [producer]\n\
         └─ process prices [consumer] ~> request prices\n   \
            └─ send [producer]\n      \
               └─ process replies [consumer] ~> send"
    );
}

/// It cannot be kept from the user: the client ends the connection before anyone sees the message.
#[tokio::test]
async fn a_header_that_is_not_utf8_ends_the_connection_and_the_client_comes_back() {
    let (rig, nats) = (Rig::new(), Nats::start());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let mut messages = client.subscribe("orders").await.unwrap();
    // Once it has a message, the server has its subscription.
    client.publish("orders", "".into()).await.unwrap();
    next(&mut messages).await;
    publish_raw(&nats, b"NATS/1.0\r\nbad: \xff\xfe\r\n\r\n");
    // The client subscribes again once it has noticed; till then what is published is lost, as in core NATS anything may be.
    let orders = rig.destination("nats", "orders");
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    let publish = async {
        loop {
            ticks.tick().await;
            let mut headers = HeaderMap::new();
            orders
                .send(&mut headers)
                .run_async(|| client.publish_with_headers("orders", headers, "".into()))
                .await
                .ok();
        }
    };
    tokio::select! {
        () = publish => {}
        message = next(&mut messages) => orders.process(&message).run(|| ()),
    }
    let tree = rig.tree();
    assert_eq!(tree.find_all("process orders").count(), 1);
    assert!(client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed) > 1);
}
