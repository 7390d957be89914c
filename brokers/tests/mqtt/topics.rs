//! User properties, topics, filters and retained messages.

use std::io;

use ctxhop::{
    Snapshot,
    carrier::Carrier,
    clients::rumqttc_0_25::deliveries,
    messaging::{Destination, Relation},
};
use ctxhop_brokers::{
    mosquitto::Mosquitto,
    rig::{Rig, attribute},
};
use futures::StreamExt;
use opentelemetry::{Context, KeyValue, Value, baggage::BaggageExt};
use rumqttc::v5::{
    AsyncClient, Event, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{Publish, PublishProperties},
    },
};
use tokio::time::timeout;

use crate::{LIMIT, policy, session::Session};

async fn next(session: &mut Session) -> Publish {
    timeout(LIMIT, session.deliveries.next()).await.expect("a message in time").expect("a message").message().clone()
}

/// Handles one delivery.
async fn handle(session: &mut Session, destination: &Destination) {
    let one = session.deliveries.by_ref().take(1);
    let each = destination.process_each(one, async |_| Ok::<_, io::Error>(()), policy());
    assert_eq!(timeout(LIMIT, each).await.expect("a loop that ends").acked, 1);
}

#[tokio::test]
async fn a_context_travels_among_other_user_properties_which_stay_in_place() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut session = Session::start(&server, "billing").await;
    session.subscribe("orders").await;
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let others = [pair("via", "a"), pair("Tenant", "x"), pair("via", "b"), pair("via", "a")];
    let mut properties = PublishProperties {
        user_properties: others.to_vec(),
        correlation_data: Some("order-17".into()),
        ..Default::default()
    };
    // What an earlier sender left goes.
    properties.user_properties.insert(1, pair("TraceParent", "stale"));
    let orders = rig.destination("mqtt", "orders");
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a b;c,d=ü")]);
    let send = baggage.run(|| orders.send(&mut properties));
    let publish =
        || session.client.publish_with_properties("orders", QoS::AtLeastOnce, false, "two apples", properties);
    send.run_async(publish).await.unwrap();

    let publish = next(&mut session).await;
    let received = &publish.properties.as_ref().unwrap().user_properties;
    assert_eq!(received[..4], others);
    assert_eq!(received[4..].iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["traceparent", "baggage"]);
    orders.process(&publish).run(|| {
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), "a b;c,d=ü");
    });
    assert_eq!(rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
    let conversation = Some(Value::from("order-17"));
    for name in ["send orders", "process orders"] {
        assert_eq!(attribute(&rig.spans(name)[0], "messaging.message.conversation_id"), conversation, "{name}");
    }
}

#[tokio::test]
async fn a_message_without_properties_is_processed() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut session = Session::start(&server, "billing").await;
    session.subscribe("orders").await;
    session.client.publish("orders", QoS::AtMostOnce, false, "").await.unwrap();
    let mut publish = next(&mut session).await;
    rig.destination("mqtt", "orders").process(&publish).run(|| ());
    assert_eq!(rig.drawing(), "process orders [consumer]");
    assert!(publish.set("traceparent", "1".into()));
    assert_eq!(publish.keys().collect::<Vec<_>>(), ["traceparent"]);
}

#[tokio::test]
async fn the_topic_is_the_destination_and_the_filter_its_template() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut session = Session::start(&server, "billing").await;
    for (filter, topic) in [("sensors/+/heat", "sensors/4711/heat"), ("rooms/#", "rooms/2/window/3")] {
        session.subscribe(filter).await;
        session.send(&rig, topic, QoS::AtLeastOnce, false).await;
        handle(&mut session, &rig.destination("mqtt", filter)).await;
        for name in ["process", "ack"] {
            let span = &rig.spans(&format!("{name} {filter}"))[0];
            assert_eq!(attribute(span, "messaging.destination.name"), Some(Value::from(topic)));
            assert_eq!(attribute(span, "messaging.destination.template"), Some(Value::from(filter)));
        }
    }
}

/// A client that lets the broker use topic aliases gets messages without a topic, and some brokers look at no text.
#[tokio::test]
async fn a_topic_that_is_no_text_or_not_there_is_processed() {
    let rig = Rig::new();
    let (client, mut eventloop) = AsyncClient::new(MqttOptions::new("billing", "127.0.0.1", 1), 1);
    let (mut inbox, messages) = deliveries(&client, &eventloop);
    for topic in [&b""[..], b"sensors/\xff"] {
        let publish = Publish { topic: topic.to_vec().into(), ..Default::default() };
        eventloop.state.events.push_back(Event::Incoming(Incoming::Publish(publish)));
    }
    // No broker is there, and the inbox takes what was read before.
    inbox.poll(&mut eventloop).await.unwrap().unwrap_err();
    let sensors = rig.destination("mqtt", "sensors/+");
    let each = sensors.process_each(messages.take(2), async |_| Ok::<_, io::Error>(()), policy());
    assert_eq!(timeout(LIMIT, each).await.unwrap().acked, 2);
    let processed = rig.spans("process sensors/+");
    let names = processed.iter().map(|span| attribute(span, "messaging.destination.name"));
    assert_eq!(names.collect::<Vec<_>>(), ["sensors/+", "sensors/\u{fffd}"].map(|name| Some(Value::from(name))));
}

/// Retained messages wait for whoever subscribes, perhaps for days.
#[tokio::test]
async fn a_retained_message_is_linked_and_not_continued() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut session = Session::start(&server, "billing").await;
    session.send(&rig, "orders", QoS::AtLeastOnce, true).await;
    session.subscribe("orders").await;
    let orders = rig.destination("mqtt", "orders");
    handle(&mut session, &orders).await;
    let linked = "ack orders [client] ~> send orders\n\
                  process orders [consumer] ~> send orders\n\
                  send orders [producer]";
    assert_eq!(rig.drawing(), linked);
    assert_eq!(attribute(&rig.spans("process orders")[0], "ctxhop.mqtt.retained"), Some(Value::from(true)));

    // To a subscriber that is there the same message is a new one.
    session.send(&rig, "orders", QoS::AtLeastOnce, true).await;
    handle(&mut session, &orders).await;
    let continued = "send orders [producer]\n\
                     ├─ ack orders [client] ~> send orders\n\
                     └─ process orders [consumer] ~> send orders";
    assert_eq!(rig.drawing(), format!("{linked}\n{continued}"));
}

#[tokio::test]
async fn who_wants_to_continue_a_retained_message_says_so() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut session = Session::start(&server, "billing").await;
    session.send(&rig, "rooms/2", QoS::AtLeastOnce, true).await;
    session.subscribe("rooms/+").await;
    handle(&mut session, &rig.destination("mqtt", "rooms/+").relation(Relation::Parent)).await;
    assert_eq!(
        rig.drawing(),
        "send rooms/2 [producer]\n\
         ├─ ack rooms/+ [client] ~> send rooms/2\n\
         └─ process rooms/+ [consumer] ~> send rooms/2"
    );
}

#[tokio::test]
async fn without_the_loop_a_second_destination_links() {
    let (rig, server) = (Rig::new(), Mosquitto::start());
    let mut session = Session::start(&server, "billing").await;
    session.send(&rig, "orders", QoS::AtLeastOnce, true).await;
    session.subscribe("orders").await;
    let orders = rig.destination("mqtt", "orders");
    let old_orders = orders.clone().relation(Relation::Link);
    let publish = next(&mut session).await;
    if publish.retain { &old_orders } else { &orders }.process(&publish).run(|| ());
    assert_eq!(rig.drawing(), "process orders [consumer] ~> send orders\nsend orders [producer]");
}

/// Mosquitto closes the connection on what is refused here.
#[tokio::test]
async fn the_longest_text_and_any_text_that_is_set_reaches_the_other_end() {
    let server = Mosquitto::start();
    let mut session = Session::with_options(&server, "billing", |options| {
        options.set_max_packet_size(Some(1 << 20));
    })
    .await;
    session.subscribe("orders").await;
    let longest = "v".repeat(65_535);
    for value in
        ["", "ü", "a\tb", "\u{7f}", "\u{85}", "\u{fffe}", "\u{1ffff}", "\u{fdd0}", "\u{feff}", "\u{fffd}", &longest]
    {
        let mut properties = PublishProperties::default();
        let control = value.chars().any(|char| char.is_control() || "\u{fffe}\u{1ffff}\u{fdd0}".contains(char));
        assert_eq!(properties.set("key", value.to_owned()), !control, "{value:?}");
        let publish = session.client.publish_with_properties("orders", QoS::AtLeastOnce, false, "", properties);
        publish.await.unwrap();
        let publish = next(&mut session).await;
        assert_eq!(publish.get_all("key").collect::<Vec<_>>(), if control { vec![] } else { vec![value] });
        session.client.ack(&publish).await.unwrap();
    }
    assert!(!PublishProperties::default().set("key", "v".repeat(65_536)));
    assert!(!PublishProperties::default().set(&"k".repeat(65_536), "v".into()));
}
