//! Load with faults on MQTT, with quality of service 1 and sessions that are kept. It has a server and a binary of its own.
//!
//! Mosquitto keeps messages in memory, and writes them to the disk after so many changes. Even if that is one change, it acknowledges
//! first, so that a `kill -9` loses messages that their producers take for delivered: seen with version 2.0.11, which lost the last
//! one of 200. Its acknowledgement cannot promise more. So a producer here keeps a message until it is handled, for which a consumer
//! would send a reply, and sends it again if the connection is lost before that. The server writes after a hundred changes, so that
//! it does lose some.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ctxhop::{
    clients::rumqttc_0_25::{Deliveries, deliveries},
    messaging::Policy,
};
use ctxhop_brokers::{
    load::{self, Ledger, STEP, connected},
    mosquitto::Mosquitto,
};
use futures::{StreamExt, future::ready, stream};
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{PubAckReason, Publish, PublishProperties},
    },
};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

const CONSUMERS: usize = 4;
const AT_ONCE: usize = 16;
/// Each message goes to one consumer, which has a session of its own.
const FILTER: &str = "$share/billing/orders";

/// What all tasks share.
struct Shop {
    port: u16,
    ledger: Ledger,
    /// Tells producers that a message is handled.
    replies: Mutex<HashMap<usize, oneshot::Sender<()>>>,
    acknowledged: AtomicUsize,
    handled: AtomicUsize,
}

/// A connection of a producer.
struct Connection {
    client: AsyncClient,
    /// A broker acknowledges in the order in which it was published (MQTT-4.6.0-2).
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<PubAckReason>>>>,
    lost: watch::Receiver<bool>,
    poll: JoinHandle<()>,
}

impl Connection {
    async fn try_new(port: u16, id: &str) -> Result<Self, ConnectionError> {
        let (client, mut eventloop) = AsyncClient::new(MqttOptions::new(id, "127.0.0.1", port), 64);
        eventloop.poll().await?;
        let waiting = Arc::default();
        let (is_lost, lost) = watch::channel(false);
        let acknowledged: Arc<Mutex<VecDeque<oneshot::Sender<PubAckReason>>>> = Arc::clone(&waiting);
        let poll = tokio::spawn(async move {
            while let Ok(event) = eventloop.poll().await {
                if let Event::Incoming(Incoming::PubAck(ack)) = event {
                    let oldest = acknowledged.lock().unwrap().pop_front().expect("somebody who waits");
                    oldest.send(ack.reason).ok();
                }
            }
            // First the event loop: from then on each publish fails, and none waits after those that are told here.
            drop(eventloop);
            acknowledged.lock().unwrap().clear();
            is_lost.send(true).ok();
        });
        Ok(Self { client, waiting, lost, poll })
    }

    async fn publish(&self, body: String, properties: PublishProperties) -> io::Result<()> {
        let (sender, acknowledged) = oneshot::channel();
        {
            // The lock keeps the order. There is no await in between, so no publish is cancelled half way, with a sender that
            // takes the acknowledgement of another. The price: if the client's channel is full, the publish fails.
            let mut waiting = self.waiting.lock().unwrap();
            let client = &self.client;
            let publish = client.try_publish_with_properties("orders", QoS::AtLeastOnce, false, body, properties);
            publish.map_err(io::Error::other)?;
            waiting.push_back(sender);
        }
        match acknowledged.await {
            Ok(PubAckReason::Success) => Ok(()),
            Ok(reason) => Err(io::Error::other(format!("{reason:?}"))),
            Err(_) => Err(io::Error::other("the connection is lost")),
        }
    }

    async fn lost(&self) {
        self.lost.clone().wait_for(|lost| *lost).await.ok();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

/// A consumer, whose session is kept.
struct Session {
    client: AsyncClient,
    deliveries: Deliveries<AsyncClient>,
    poll: JoinHandle<()>,
}

impl Session {
    /// Goes on with its session.
    fn new(port: u16, consumer: usize) -> Self {
        let mut options = MqttOptions::new(format!("billing-{consumer}"), "127.0.0.1", port);
        options.set_manual_acks(true).set_clean_start(false).set_session_expiry_interval(Some(u32::MAX));
        let (client, eventloop) = AsyncClient::new(options, 64);
        let (inbox, deliveries) = deliveries(&client, &eventloop);
        let poll = tokio::spawn(Self::poll(client.clone(), eventloop, inbox));
        Self { client, deliveries, poll }
    }

    async fn poll(
        client: AsyncClient,
        mut eventloop: EventLoop,
        mut inbox: ctxhop::clients::rumqttc_0_25::Inbox<AsyncClient>,
    ) {
        while let Some(polled) = inbox.poll(&mut eventloop).await {
            match polled {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    // Mosquitto keeps the session and forgets its shared subscriptions.
                    client.try_subscribe(FILTER, QoS::AtLeastOnce).expect("room for a request");
                }
                Ok(_) => {}
                // There is nothing to wait for but time: a server that starts tells nobody.
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

impl Shop {
    /// Gives the message back if it is not handled, with the context that it has.
    async fn send(
        &self,
        connection: &Connection,
        lost: &AtomicBool,
        (id, mut properties): (usize, PublishProperties),
    ) -> Option<(usize, PublishProperties)> {
        let (reply, handled) = oneshot::channel();
        self.replies.lock().unwrap().insert(id, reply);
        if lost.load(Ordering::Relaxed) {
            return Some((id, properties));
        }
        let send = self.ledger.orders.send(&mut properties).message_id(id.to_string());
        let publish = || connection.publish(id.to_string(), properties.clone());
        if let Ok(Ok(())) = timeout(STEP, send.run_async(publish)).await {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                Ok(()) = handled => return None,
                // It was sent once more, and the consumers need not wait for it.
                () = self.ledger.done() => return None,
                () = connection.lost() => {}
            }
        }
        lost.store(true, Ordering::Relaxed);
        Some((id, properties))
    }

    async fn handle(&self, publish: Publish) -> io::Result<()> {
        self.ledger.handle(&publish.payload);
        self.handled.fetch_add(1, Ordering::Relaxed);
        let id = str::from_utf8(&publish.payload).ok().and_then(|id| id.parse().ok()).expect("a number");
        if let Some(reply) = self.replies.lock().unwrap().remove(&id) {
            reply.send(()).ok();
        }
        Ok(())
    }
}

impl load::Shop for Shop {
    /// What Mosquitto has sent to a consumer, and forgotten when it was killed, is not delivered again. Its acknowledgement fails,
    /// because the connection is lost. By default it sends 20 messages before they are acknowledged.
    const ANSWERED: usize = 20;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    async fn produce(&self, ids: Vec<usize>) {
        let name = format!("producer-{}", ids[0]);
        let mut pending: Vec<_> = ids.into_iter().map(|id| (id, PublishProperties::default())).collect();
        while !pending.is_empty() {
            let connection = connected(|| Connection::try_new(self.port, &name)).await;
            let lost = AtomicBool::new(false);
            let sends = stream::iter(pending).map(|message| self.send(&connection, &lost, message));
            pending = sends.buffer_unordered(64).filter_map(async |unsent| unsent).collect().await;
            if !pending.is_empty() {
                // As long as no consumer is back, nobody gets what is published. There is nothing to wait for but time.
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn consume(&self, consumer: usize) {
        let mut session = Session::new(self.port, consumer);
        let messages = session.deliveries.by_ref().take_until(self.ledger.done());
        let policy = Policy::within(STEP).at_once(AT_ONCE);
        self.ledger.orders.process_each(messages, |publish| self.handle(publish), policy).await;
    }

    async fn drain(&self) {
        for consumer in 0..CONSUMERS {
            let mut session = Session::new(self.port, consumer);
            // A session keeps its order: what comes after the rest is the last.
            let last = format!("last/{consumer}");
            session.client.subscribe(&last, QoS::AtLeastOnce).await.unwrap();
            session.client.publish(&last, QoS::AtLeastOnce, false, "").await.unwrap();
            let rest = session.deliveries.by_ref().take_while(|delivery| ready(delivery.message().topic != last));
            let policy = Policy::within(STEP).at_once(AT_ONCE);
            let tally = self.ledger.orders.process_each(rest, |publish| self.handle(publish), policy).await;
            assert_eq!(tally.unsettled, 0);
        }
        let [acknowledged, handled] = [&self.acknowledged, &self.handled].map(|count| count.load(Ordering::Relaxed));
        println!("{acknowledged} publishes were acknowledged, {handled} deliveries were handled");
    }
}

/// Waits until each consumer has a session: what is published before goes to nobody.
async fn subscribe(port: u16) {
    for consumer in 0..CONSUMERS {
        let mut options = MqttOptions::new(format!("billing-{consumer}"), "127.0.0.1", port);
        options.set_clean_start(false).set_session_expiry_interval(Some(u32::MAX));
        let (client, mut eventloop) = AsyncClient::new(options, 1);
        client.subscribe(FILTER, QoS::AtLeastOnce).await.unwrap();
        while !matches!(eventloop.poll().await.unwrap(), Event::Incoming(Incoming::SubAck(_))) {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_server_is_killed() {
    let server = Mosquitto::durable(100);
    let port = server.port();
    subscribe(port).await;
    load::run("mqtt", server, Mosquitto::kill_and_restart, |ledger| Shop {
        port,
        ledger,
        replies: Mutex::default(),
        acknowledged: AtomicUsize::new(0),
        handled: AtomicUsize::new(0),
    })
    .await;
}
