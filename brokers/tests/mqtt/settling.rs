//! The consumer loop on MQTT: what it settles, and what the trace says of it.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use ctxhop::messaging::{Delivered, Tally};
use ctxhop_brokers::{
    mosquitto::Mosquitto,
    rig::{Rig, attribute},
};
use futures::{StreamExt, future::pending};
use opentelemetry::{Value, trace::Status};
use rumqttc::v5::{
    Event, Incoming,
    mqttbytes::{QoS, v5::Publish},
};
use tokio::{sync::Notify, time::timeout};

use crate::{LIMIT, policy, session::Session};

struct Orders {
    rig: Rig,
    server: Mosquitto,
    session: Session,
}

impl Orders {
    async fn new() -> Self {
        Self::on(Mosquitto::start()).await
    }

    async fn on(server: Mosquitto) -> Self {
        let session = Session::start(&server, "billing").await;
        session.subscribe("orders").await;
        Self { rig: Rig::new(), server, session }
    }

    async fn send(&self, qos: QoS) {
        self.session.send(&self.rig, "orders", qos, false).await;
    }

    /// Handles so many deliveries.
    async fn handle<F: Future<Output = io::Result<()>>>(
        &mut self,
        deliveries: usize,
        attempts: u64,
        handler: impl Fn(Publish) -> F,
    ) -> Tally {
        let messages = self.session.deliveries.by_ref().take(deliveries);
        let each = self.rig.destination("mqtt", "orders").process_each(messages, handler, policy().attempts(attempts));
        timeout(LIMIT, each).await.expect("a loop that ends")
    }

    /// How many messages the broker delivers again once there is another connection.
    async fn unsettled(&mut self) -> usize {
        self.session.reconnect().await;
        // A last one shows that there are no more of the others.
        self.session.client.publish("orders", QoS::AtLeastOnce, false, "last").await.unwrap();
        let mut unsettled = 0;
        loop {
            let delivery = timeout(LIMIT, self.session.deliveries.next()).await.unwrap().unwrap();
            if delivery.message().payload == "last" {
                return unsettled;
            }
            assert!(delivery.message().dup);
            unsettled += 1;
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("no apples")
}

#[tokio::test]
async fn a_message_is_sent_processed_and_settled_in_one_trace() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut orders = Orders::new().await;
        orders.send(qos).await;
        let handler = async |publish: Publish| {
            assert_eq!(publish.payload, "two apples");
            Ok(())
        };
        assert_eq!(orders.handle(1, 1, handler).await.acked, 1);
        if qos == QoS::ExactlyOnce {
            orders.session.released().await;
        }
        assert_eq!(orders.unsettled().await, 0, "{qos:?}");
        assert_eq!(
            orders.rig.drawing(),
            "send orders [producer]\n\
             ├─ ack orders [client] ~> send orders\n\
             └─ process orders [consumer] ~> send orders"
        );
        let process = &orders.rig.spans("process orders")[0];
        for (key, value) in [
            ("messaging.destination.name", Some(Value::from("orders"))),
            ("messaging.message.body.size", Some(Value::from(10))),
            ("ctxhop.mqtt.qos", Some(Value::from(qos as i64))),
            ("ctxhop.mqtt.retained", None),
            ("ctxhop.mqtt.duplicate", None),
        ] {
            assert_eq!(attribute(process, key), value, "{key}");
        }
    }
}

#[tokio::test]
async fn a_message_is_not_settled_before_it_is_processed() {
    let mut orders = Orders::new().await;
    orders.send(QoS::AtLeastOnce).await;
    let delivery = timeout(LIMIT, orders.session.deliveries.next()).await.unwrap().unwrap();
    assert_eq!(orders.unsettled().await, 1);
    drop(delivery);
}

#[tokio::test]
async fn a_message_is_processed_again_and_then_given_up() {
    let mut orders = Orders::new().await;
    orders.send(QoS::AtLeastOnce).await;
    let tally = orders.handle(3, 3, async |_| Err(failed())).await;
    assert_eq!((tally.retried, tally.rejected), (2, 1));
    assert_eq!(orders.unsettled().await, 0);
    let processed = orders.rig.spans("process orders");
    let counts = processed.iter().map(|span| attribute(span, "ctxhop.delivery_count"));
    assert_eq!(counts.collect::<Vec<_>>(), [1, 2, 3].map(|count| Some(Value::from(count))));
    // The second attempt links to the first, the third to the second.
    for pair in processed.windows(2) {
        let before = pair[0].span_context.span_id();
        assert!(pair[1].links.iter().any(|link| link.span_context.span_id() == before), "{:?}", pair[1].links);
    }
    orders.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_handler_that_panics_has_its_message_again() {
    let mut orders = Orders::new().await;
    orders.send(QoS::ExactlyOnce).await;
    let handled = AtomicUsize::new(0);
    let handler = async |_| {
        assert!(handled.fetch_add(1, Ordering::Relaxed) > 0, "no apples");
        Ok(())
    };
    let tally = orders.handle(2, 3, handler).await;
    assert_eq!((tally.panicked, tally.retried, tally.acked), (1, 1, 1));
    orders.session.released().await;
    assert_eq!(orders.rig.spans("process orders")[0].status, Status::error("panicked"));
    assert_eq!(orders.unsettled().await, 0);
    orders.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_cancelled_loop_leaves_its_message_to_be_delivered_again() {
    let mut orders = Orders::new().await;
    orders.send(QoS::AtLeastOnce).await;
    let begun = Notify::new();
    let stuck = orders.rig.destination("mqtt", "orders").process_each(
        orders.session.deliveries.by_ref(),
        async |_| {
            begun.notify_one();
            pending::<io::Result<()>>().await
        },
        policy(),
    );
    tokio::select! {
        _ = stuck => unreachable!("the handler never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(orders.rig.spans("process orders")[0].status, Status::error("cancelled"));
    orders.session.reconnect().await;
    assert_eq!(orders.handle(1, 2, async |_| Ok(())).await.acked, 1);
    assert_eq!(orders.unsettled().await, 0);
    let again = &orders.rig.spans("process orders")[1];
    assert_eq!(attribute(again, "ctxhop.mqtt.duplicate"), Some(Value::from(true)));
    orders.rig.tree().assert_single_trace();
}

/// The new connection could have given the packet's number to another message.
#[tokio::test]
async fn a_connection_that_is_lost_in_between_fails_the_settlement_and_the_message_comes_again() {
    let mut orders = Orders::new().await;
    orders.send(QoS::AtLeastOnce).await;
    let Session { client, events, deliveries, .. } = &mut orders.session;
    let handler = async |publish: Publish| {
        if !publish.dup {
            client.disconnect().await.unwrap();
            events.connected().await;
        }
        Ok::<_, io::Error>(())
    };
    let each = orders.rig.destination("mqtt", "orders").process_each(deliveries.by_ref().take(2), handler, policy());
    let tally = timeout(LIMIT, each).await.expect("a loop that ends");
    assert_eq!((tally.unsettled, tally.acked), (1, 1));
    assert_eq!(
        orders.rig.spans("ack orders")[0].status,
        Status::error("the connection that the message came by was lost")
    );
    assert_eq!(orders.unsettled().await, 0);
    orders.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn the_server_is_killed_in_between() {
    let mut orders = Orders::on(Mosquitto::durable(1)).await;
    orders.send(QoS::AtLeastOnce).await;
    let delivery = timeout(LIMIT, orders.session.deliveries.next()).await.unwrap().unwrap();
    orders.server.kill_and_restart();
    orders.session.events.connected().await;
    let one = futures::stream::iter([delivery]);
    let each = orders.rig.destination("mqtt", "orders").process_each(one, async |_| Ok::<_, io::Error>(()), policy());
    assert_eq!(timeout(LIMIT, each).await.expect("no loop hangs").unsettled, 1);
    orders.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn nothing_settles_when_the_event_loop_is_gone() {
    let mut orders = Orders::new().await;
    orders.send(QoS::AtLeastOnce).await;
    let delivery = timeout(LIMIT, orders.session.deliveries.next()).await.unwrap().unwrap();
    orders.session.end().await;
    // With the inbox the deliveries end, once nothing is in hand.
    let rest = orders.session.deliveries.by_ref();
    let each = orders.rig.destination("mqtt", "orders").process_each(
        futures::stream::iter([delivery]).chain(rest),
        async |_| Ok::<_, io::Error>(()),
        policy(),
    );
    assert_eq!(timeout(LIMIT, each).await.expect("no loop hangs").unsettled, 1);
    let said = &orders.rig.spans("ack orders")[0].status;
    assert_eq!(*said, Status::error("the event loop was dropped"));
}

#[tokio::test]
async fn without_manual_acks_there_is_nothing_to_settle() {
    let server = Mosquitto::start();
    let mut session = Session::with_options(&server, "billing", |options| _ = options.set_manual_acks(false)).await;
    session.subscribe("orders").await;
    let rig = Rig::new();
    session.send(&rig, "orders", QoS::AtLeastOnce, false).await;
    let delivery = timeout(LIMIT, session.deliveries.next()).await.unwrap().unwrap();
    session.reconnect().await;
    // Also by another connection: rumqttc has acknowledged it by the first.
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn a_message_comes_back_when_nobody_takes_deliveries() {
    let server = Mosquitto::start();
    let mut session = Session::start(&server, "billing").await;
    session.subscribe("orders").await;
    let publish = || session.client.publish("orders", QoS::AtLeastOnce, false, "two apples");
    publish().await.unwrap();
    let in_hand = timeout(LIMIT, session.deliveries.next()).await.unwrap().unwrap();
    publish().await.unwrap();
    drop(session.take_deliveries());
    session.events.wait_for(|event| matches!(event, Event::Incoming(Incoming::Publish(_)))).await;
    in_hand.ack().await.unwrap();
    session.ended().await;
}

/// Or it would take messages that nobody handles.
#[tokio::test]
async fn the_inbox_ends_with_the_loop_once_the_last_acknowledgement_is_sent() {
    let mut orders = Orders::new().await;
    for _ in 0..8 {
        orders.send(QoS::AtLeastOnce).await;
    }
    let messages = orders.session.take_deliveries().take(8);
    let destination = orders.rig.destination("mqtt", "orders");
    let each = destination.process_each(messages, async |_| Ok::<_, io::Error>(()), policy().at_once(8));
    assert_eq!(timeout(LIMIT, each).await.expect("a loop that ends").acked, 8);
    orders.session.ended().await;
    // The broker reads what came earlier first. Without this it may take the session over before it has read the acknowledgements.
    Session::start(&orders.server, "bystander").await.subscribe("nothing").await;
    orders.session = Session::start(&orders.server, "billing").await;
    assert_eq!(orders.unsettled().await, 0);
}

#[tokio::test]
async fn the_inbox_ends_with_a_loop_that_is_cancelled() {
    let mut orders = Orders::new().await;
    orders.send(QoS::AtLeastOnce).await;
    let begun = Notify::new();
    let stuck = orders.rig.destination("mqtt", "orders").process_each(
        orders.session.take_deliveries(),
        async |_| {
            begun.notify_one();
            pending::<io::Result<()>>().await
        },
        policy(),
    );
    tokio::select! {
        _ = stuck => unreachable!("the handler never ends"),
        () = begun.notified() => {}
    }
    orders.session.ended().await;
    // The broker has the message still.
    orders.session = Session::start(&orders.server, "billing").await;
    assert_eq!(orders.handle(1, 2, async |_| Ok(())).await.acked, 1);
}
