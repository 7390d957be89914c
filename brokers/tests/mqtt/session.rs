//! A client of MQTT 5 whose session outlives its connections, and whose event loop is polled.

use std::{mem, time::Duration};

use ctxhop::clients::rumqttc_0_25::{Deliveries, deliveries};
use ctxhop_brokers::{mosquitto::Mosquitto, rig::Rig};
use rumqttc::v5::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{QoS, v5::PublishProperties},
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::LIMIT;

pub(crate) struct Session {
    pub(crate) client: AsyncClient,
    pub(crate) deliveries: Deliveries<AsyncClient>,
    pub(crate) events: Events,
    poll: JoinHandle<()>,
}

/// What the event loop brings beside messages.
pub(crate) struct Events(Mutex<mpsc::UnboundedReceiver<Event>>);

impl Events {
    /// Waits for an event.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut events = self.0.lock().await;
        let wait = async {
            loop {
                let event = events.recv().await.expect("an event loop that is polled");
                if wanted(&event) {
                    return event;
                }
            }
        };
        timeout(LIMIT, wait).await.expect("an event in time")
    }

    pub(crate) async fn connected(&self) {
        self.wait_for(|event| matches!(event, Event::Incoming(Incoming::ConnAck(_)))).await;
    }
}

impl Session {
    pub(crate) async fn start(server: &Mosquitto, id: &str) -> Self {
        Self::with_options(server, id, |_| ()).await
    }

    pub(crate) async fn with_options(server: &Mosquitto, id: &str, change: impl Fn(&mut MqttOptions)) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", server.port());
        options.set_manual_acks(true).set_clean_start(false).set_session_expiry_interval(Some(u32::MAX));
        change(&mut options);
        let (client, mut eventloop) = AsyncClient::new(options, 16);
        let (mut inbox, deliveries) = deliveries(&client, &eventloop);
        let (sender, events) = mpsc::unbounded_channel();
        let poll = tokio::spawn(async move {
            while let Some(polled) = inbox.poll(&mut eventloop).await {
                match polled {
                    Ok(event) => _ = sender.send(event),
                    // There is nothing to wait for but time: a server that starts tells nobody.
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        });
        let this = Self { client, deliveries, events: Events(Mutex::new(events)), poll };
        this.events.connected().await;
        this
    }

    /// Subscribes with quality of service 2, so that messages come with their own.
    pub(crate) async fn subscribe(&self, filter: &str) {
        self.client.subscribe(filter, QoS::ExactlyOnce).await.unwrap();
        self.events.wait_for(|event| matches!(event, Event::Incoming(Incoming::SubAck(_)))).await;
    }

    /// Sends a message in a span of its own.
    pub(crate) async fn send(&self, rig: &Rig, topic: &str, qos: QoS, retain: bool) {
        let mut properties = PublishProperties::default();
        let send = rig.destination("mqtt", topic).send(&mut properties);
        let publish = || self.client.publish_with_properties(topic, qos, retain, "two apples", properties);
        send.run_async(publish).await.unwrap();
    }

    /// Waits until the broker has released a message of quality of service 2.
    pub(crate) async fn released(&self) {
        self.events.wait_for(|event| matches!(event, Event::Incoming(Incoming::PubRel(_)))).await;
    }

    /// Ends the connection, and waits for the next one.
    pub(crate) async fn reconnect(&self) {
        self.client.disconnect().await.unwrap();
        self.events.connected().await;
    }

    /// Takes the deliveries away from the session.
    pub(crate) fn take_deliveries(&mut self) -> Deliveries<AsyncClient> {
        let nowhere = EventLoop::new(MqttOptions::new("none", "127.0.0.1", 1), 1);
        mem::replace(&mut self.deliveries, deliveries(&self.client, &nowhere).1)
    }

    /// Waits until the inbox has ended, which drops the event loop.
    pub(crate) async fn ended(&mut self) {
        timeout(LIMIT, &mut self.poll).await.expect("an inbox that ends").unwrap();
    }

    /// Drops the event loop, and with it the connection.
    pub(crate) async fn end(&mut self) {
        self.poll.abort();
        assert!((&mut self.poll).await.unwrap_err().is_cancelled());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.poll.abort();
    }
}
