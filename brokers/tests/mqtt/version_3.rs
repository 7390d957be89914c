//! MQTT 3.1.1, whose messages have no headers: the envelope, and peers that know nothing of it.

use std::{io, time::Duration};

use ctxhop::{
    Snapshot,
    carrier::{
        self, Headers, NOT_TEXT,
        envelope::{self, Flaw},
    },
    clients::rumqttc_0_25::{Deliveries, Opened, deliveries},
    messaging::{Policy, Tally},
};
use ctxhop_brokers::{
    mosquitto::Mosquitto,
    rig::{Rig, attribute, propagator},
};
use futures::StreamExt;
use opentelemetry::{Context, KeyValue, Value, baggage::BaggageExt, trace::Status};
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS, v5};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{LIMIT, policy, session::Session};

/// More than 256 MB, and the most that a packet takes is 268,435,455 bytes.
const LARGEST: usize = 268_000_000;

struct Old {
    client: AsyncClient,
    deliveries: Deliveries<AsyncClient>,
    events: mpsc::UnboundedReceiver<Event>,
    poll: JoinHandle<()>,
}

impl Old {
    /// A client that has subscribed to `orders`.
    async fn start(server: &Mosquitto, id: &str) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", server.port());
        options.set_manual_acks(true).set_clean_session(false).set_max_packet_size(LARGEST + 1000, LARGEST + 1000);
        let (client, mut eventloop) = AsyncClient::new(options, 16);
        let (mut inbox, deliveries) = deliveries(&client, &eventloop);
        let (sender, events) = mpsc::unbounded_channel();
        let poll = tokio::spawn(async move {
            while let Some(polled) = inbox.poll(&mut eventloop).await {
                match polled {
                    Ok(event) => _ = sender.send(event),
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        });
        client.subscribe("orders", QoS::AtLeastOnce).await.unwrap();
        let mut this = Self { client, deliveries, events, poll };
        this.wait_for(|event| matches!(event, Event::Incoming(Incoming::SubAck(_)))).await;
        this
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) {
        while !wanted(&timeout(LIMIT, self.events.recv()).await.expect("an event in time").expect("an event")) {}
    }

    /// What somebody sends who has never heard of envelopes.
    async fn send_plain(&self, payload: impl Into<Vec<u8>>) {
        self.client.publish("orders", QoS::AtLeastOnce, false, payload).await.unwrap();
    }

    async fn send(&self, rig: &Rig, payload: &[u8]) {
        let mut headers = Headers::new();
        let send = rig.destination("mqtt", "orders").send(&mut headers);
        let message = envelope::seal(&headers, payload).unwrap();
        send.run_async(|| self.client.publish("orders", QoS::AtLeastOnce, false, message)).await.unwrap();
    }

    async fn handle<F: Future<Output = io::Result<()>>>(
        &mut self,
        rig: &Rig,
        deliveries: usize,
        policy: Policy<impl Fn() -> tokio::time::Sleep>,
        handler: impl Fn(Opened) -> F,
    ) -> Tally {
        let messages = self.deliveries.by_ref().take(deliveries);
        timeout(LIMIT, rig.destination("mqtt", "orders").process_each(messages, handler, policy)).await.unwrap()
    }

    async fn next(&mut self) -> Opened {
        timeout(LIMIT, self.deliveries.next()).await.expect("a message in time").unwrap().message().clone()
    }

    /// Whether the broker delivers nothing again.
    async fn all_is_settled(&mut self) -> bool {
        self.client.disconnect().await.unwrap();
        self.wait_for(|event| matches!(event, Event::Incoming(Incoming::ConnAck(_)))).await;
        self.send_plain("last").await;
        self.next().await.publish.payload == "last"
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

#[tokio::test]
async fn a_message_is_sent_processed_and_settled_in_one_trace() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a b;c,d=ü")]);
    baggage.run_async(|| billing.send(&rig, b"two apples")).await;
    let handler = async |message: Opened| {
        assert_eq!(message.publish.payload, "two apples");
        assert_eq!(message.flaw, None);
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), "a b;c,d=ü");
        Ok(())
    };
    assert_eq!(billing.handle(&rig, 1, policy(), handler).await.acked, 1);
    assert!(billing.all_is_settled().await);
    assert_eq!(
        rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         └─ process orders [consumer] ~> send orders"
    );
    let process = &rig.spans("process orders")[0];
    for (key, value) in [("messaging.message.body.size", 10), ("ctxhop.mqtt.qos", 1)] {
        assert_eq!(attribute(process, key), Some(Value::from(value)), "{key}");
    }
}

#[tokio::test]
async fn what_fails_is_processed_again_and_then_given_up() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    billing.send(&rig, b"two apples").await;
    let handler = async |message: Opened| {
        assert_eq!(message.publish.payload, "two apples");
        Err(io::Error::other("no apples"))
    };
    let tally = billing.handle(&rig, 3, policy().attempts(3), handler).await;
    assert_eq!((tally.retried, tally.rejected), (2, 1));
    assert!(billing.all_is_settled().await);
    rig.tree().assert_single_trace();
}

/// So receivers that open envelopes come first.
#[tokio::test]
async fn plain_payloads_pass_beside_sealed_ones() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    let plain: [&[u8]; 4] = [b"two apples", b"", b"\xf5", b"\xf5ctxho\x00\xff"];
    for payload in plain {
        billing.send_plain(payload).await;
        billing.send(&rig, payload).await;
    }
    for payload in plain {
        for _ in 0..2 {
            let message = billing.next().await;
            assert_eq!((&*message.publish.payload, message.flaw), (payload, None));
            rig.destination("mqtt", "orders").process(&message).run(|| ());
        }
    }
    let tree = rig.tree();
    let is_root = |name| tree.roots().iter().filter(|root| root.name() == name).count();
    assert_eq!((is_root("send orders"), is_root("process orders")), (4, 4));
}

#[tokio::test]
async fn a_plain_peer_sees_the_frame_before_the_payload() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let billing = Old::start(&server, "billing").await;
    let mut plain = Session::start(&server, "plain").await;
    plain.subscribe("orders").await;
    billing.send(&rig, b"{\"apples\":2}").await;
    let seen = timeout(LIMIT, plain.deliveries.next()).await.unwrap().unwrap().message().payload.clone();
    assert!(seen.starts_with(b"\xf5ctxhop\x01") && seen.ends_with(b"{\"apples\":2}"));
    // It notices at once.
    assert!(str::from_utf8(&seen).unwrap_err().valid_up_to() == 0);
    assert!(serde_json::from_slice::<serde_json::Value>(&seen).is_err());
}

/// Where both versions are in use, both seal.
#[tokio::test]
async fn a_broker_drops_what_version_3_has_no_place_for() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut old = Old::start(&server, "old").await;
    let mut new = Session::start(&server, "new").await;
    new.subscribe("orders").await;
    new.send(&rig, "orders", v5::mqttbytes::QoS::AtLeastOnce, false).await;
    let message = old.next().await;
    assert_eq!((message.headers, message.publish.payload), (Headers::new(), "two apples".into()));
    timeout(LIMIT, new.deliveries.next()).await.unwrap().unwrap();

    // A message of version 3 comes to version 5 with its envelope.
    old.send(&rig, b"two apples").await;
    let publish = timeout(LIMIT, new.deliveries.next()).await.unwrap().unwrap().message().clone();
    assert_eq!(publish.properties, None);
    let (headers, payload) = envelope::open(publish.payload).unwrap();
    assert_eq!(*payload, *b"two apples");
    rig.destination("mqtt", "orders").process(&headers).run(|| ());
    assert_eq!(rig.tree().find_all("process orders").count(), 1);
    assert!(rig.drawing().contains("└─ process orders [consumer] ~> send orders"));
}

fn hostile() -> Vec<Vec<u8>> {
    let sealed = envelope::seal(&Headers::from_iter([("traceparent", "00")]), b"").unwrap();
    vec![
        b"\xf5ctxhop".to_vec(),
        sealed[..sealed.len() - 1].to_vec(),
        b"\xf5ctxhop\x02\x00\x00two apples".to_vec(),
        b"\xf5ctxhop\x01\xff\xfftwo apples".to_vec(),
        b"\xf5ctxhop\x01\x00\x04\xff\xff\xff\xfftwo apples".to_vec(),
    ]
}

#[tokio::test]
async fn a_hostile_frame_is_handled_as_plain_by_choice() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    let seen = std::sync::Mutex::new(Vec::new());
    for frame in hostile() {
        billing.send_plain(frame).await;
    }
    let handler = async |message: Opened| {
        assert_eq!(message.headers, Headers::new());
        seen.lock().unwrap().push(message.publish.payload.to_vec());
        Ok(())
    };
    assert_eq!(billing.handle(&rig, 5, policy(), handler).await.acked, 5);
    assert_eq!(*seen.lock().unwrap(), hostile(), "nothing is lost");
    assert!(billing.all_is_settled().await);
}

#[tokio::test]
async fn a_hostile_frame_is_rejected_by_choice() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    for frame in hostile() {
        billing.send_plain(frame).await;
    }
    billing.send(&rig, b"two apples").await;
    let handler = async |message: Opened| match message.flaw {
        Some(flaw) => Err(io::Error::new(io::ErrorKind::InvalidData, flaw.to_string())),
        None => Ok(()),
    };
    let tally = billing.handle(&rig, 6, policy().attempts(1), handler).await;
    assert_eq!((tally.rejected, tally.acked), (5, 1));
    assert!(billing.all_is_settled().await);
    let processed = rig.spans("process orders");
    let flaws = [Flaw::Truncated, Flaw::Truncated, Flaw::Version(2), Flaw::Truncated, Flaw::Malformed];
    for (span, flaw) in processed.iter().zip(flaws) {
        assert_eq!(attribute(span, "ctxhop.envelope_flaw"), Some(Value::from(flaw.to_string())));
        assert_eq!(span.status, Status::error(flaw.to_string()));
    }
    assert_eq!(processed[5].status, Status::Unset);
}

#[tokio::test]
async fn any_payload_comes_back_as_it_was() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let sealed = envelope::seal(&Headers::from_iter([("inner", "1")]), b"x").unwrap();
    for payload in [vec![], every_byte, sealed, b"\xf5ctxhop\x01\xff".to_vec()] {
        billing.send(&rig, &payload).await;
        let message = billing.next().await;
        assert_eq!((message.publish.payload.to_vec(), message.flaw), (payload, None));
        assert!(!message.headers.is_empty());
        billing.client.ack(&message.publish).await.unwrap();
    }
}

/// The largest packet of MQTT is some 268 MB.
#[tokio::test]
async fn a_payload_of_256_mb_travels_in_its_envelope() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    let mut headers = Headers::new();
    let send = rig.destination("mqtt", "orders").send(&mut headers);
    let mut message = envelope::open_ended(&headers).unwrap();
    message.resize(LARGEST, 7);
    let front = message.len() - envelope::open(&message).unwrap().1.len();
    send.run_async(|| billing.client.publish("orders", QoS::AtMostOnce, false, message)).await.unwrap();
    let message = billing.next().await;
    rig.destination("mqtt", "orders").process(&message).run(|| {
        assert_eq!(message.publish.payload.len(), LARGEST - front);
        assert!(message.publish.payload.iter().all(|byte| *byte == 7));
    });
    assert_eq!(rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
}

/// For those who cannot change the framing: the context among the members of a JSON object.
#[tokio::test]
async fn a_context_travels_in_a_json_body() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut billing = Old::start(&server, "billing").await;
    let orders = rig.destination("mqtt", "orders");
    let mut body = serde_json::json!({"apples": 2, "TRACEPARENT": 7});
    let members = body.as_object_mut().unwrap();
    orders.send(members).run(|| ());
    assert_eq!(members.keys().collect::<Vec<_>>(), ["apples", "traceparent"]);
    billing.send_plain(body.to_string()).await;

    let received: serde_json::Map<_, _> = serde_json::from_slice(&billing.next().await.publish.payload).unwrap();
    orders.process(&received).run(|| assert_eq!(received["apples"], 2));
    assert_eq!(rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
    assert!(carrier::try_extract_with(&propagator(), &received).is_ok());
    assert_eq!(carrier::Carrier::get_all(&received, "apples").collect::<Vec<_>>(), [NOT_TEXT]);
}
