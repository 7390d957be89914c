//! MQTT, to and from paho-mqtt. Nobody instruments it, so Python injects and extracts by hand.

use std::path::Path;

use ctxhop::{
    Snapshot,
    carrier::{Headers, envelope},
    clients::rumqttc_0_25::{Client, Deliveries, Opened, deliveries},
    messaging::Relation,
};
use ctxhop_brokers::{mosquitto::Mosquitto, rig::Rig};
use futures::StreamExt;
use opentelemetry::trace::TraceContextExt;
use rumqttc::{
    AsyncClient, MqttOptions, QoS,
    v5::{self, mqttbytes::v5::PublishProperties},
};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    LIMIT, check_at_python, check_from_python,
    python::{Peer, python},
    with_baggage,
};

async fn next<C: Client>(deliveries: &mut Deliveries<C>) -> C::Message {
    timeout(LIMIT, deliveries.next()).await.expect("a message in time").expect("a message").message().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_mqtt() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let orders = rig.destination("mqtt", "orders").relation(Relation::Parent);
    let address = format!("127.0.0.1:{}", server.port());
    let options = v5::MqttOptions::new("rust", "127.0.0.1", server.port());
    let (client, mut eventloop) = v5::AsyncClient::new(options, 16);
    let (mut inbox, mut messages) = deliveries(&client, &eventloop);
    let (subscribed, is_subscribed) = oneshot::channel();
    tokio::spawn(async move {
        let mut subscribed = Some(subscribed);
        while let Some(Ok(event)) = inbox.poll(&mut eventloop).await {
            if let v5::Event::Incoming(v5::Incoming::SubAck(_)) = event {
                subscribed.take().map(|subscribed| subscribed.send(()));
            }
        }
    });
    client.subscribe("from", v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
    timeout(LIMIT, is_subscribed).await.unwrap().unwrap();

    let said = Peer::start("paho-mqtt", "send", &address, "from").said();
    check_from_python(&orders, &next(&mut messages).await, &said);

    let peer = Peer::start("paho-mqtt", "receive", &address, "to").ready();
    let mut properties = PublishProperties::default();
    let send = with_baggage().run(|| orders.send(&mut properties));
    let sent = send.context().span().span_context().clone();
    let qos = v5::mqttbytes::QoS::AtLeastOnce;
    send.run_async(|| client.publish_with_properties("to", qos, false, "two apples", properties)).await.unwrap();
    check_at_python(&sent, &peer.said());
}

/// In an envelope, which Python seals and opens by `docs/envelope.md`.
#[tokio::test(flavor = "multi_thread")]
async fn paho_mqtt_of_version_3() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let orders = rig.destination("mqtt", "orders").relation(Relation::Parent);
    let address = format!("127.0.0.1:{}", server.port());
    let (client, mut eventloop) = AsyncClient::new(MqttOptions::new("rust", "127.0.0.1", server.port()), 16);
    let (mut inbox, mut messages) = deliveries(&client, &eventloop);
    let (subscribed, is_subscribed) = oneshot::channel();
    tokio::spawn(async move {
        let mut subscribed = Some(subscribed);
        while let Some(Ok(event)) = inbox.poll(&mut eventloop).await {
            if let rumqttc::Event::Incoming(rumqttc::Incoming::SubAck(_)) = event {
                subscribed.take().map(|subscribed| subscribed.send(()));
            }
        }
    });
    client.subscribe("from", QoS::AtLeastOnce).await.unwrap();
    timeout(LIMIT, is_subscribed).await.unwrap().unwrap();

    let said = Peer::start("paho-mqtt-3", "send", &address, "from").said();
    let message: Opened = next(&mut messages).await;
    assert_eq!(message.publish.payload, "two apples");
    check_from_python(&orders, &message, &said);

    let peer = Peer::start("paho-mqtt-3", "receive", &address, "to").ready();
    let mut headers = Headers::new();
    let send = with_baggage().run(|| orders.send(&mut headers));
    let sent = send.context().span().span_context().clone();
    let message = envelope::seal(&headers, b"two apples").unwrap();
    send.run_async(|| client.publish("to", QoS::AtLeastOnce, false, message)).await.unwrap();
    check_at_python(&sent, &peer.said());
}

#[test]
fn the_reader_in_python_holds_the_test_vectors() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/envelope-vectors.json");
    let output = python("envelope.py").arg(&vectors).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
    let count = all.as_array().unwrap().len();
    assert!(count > 20);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), count.to_string());
}
