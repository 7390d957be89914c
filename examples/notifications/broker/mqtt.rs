//! MQTT 5, by rumqttc: a topic for each queue, and a shared subscription, so that the workers compete.
//!
//! MQTT has no queues: what is published while nobody subscribes is gone. So start the workers first.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ctxhop::{
    clients::rumqttc_0_25::{Deliveries, deliveries},
    messaging::{Destination, Policy},
    tokio::spawn_detached,
};
use futures::StreamExt;
use hyper::Uri;
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
    mqttbytes::{
        QoS,
        v5::{PubAckReason, Publish, PublishProperties},
    },
};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use super::{Describe, Failed, Job, body, verdict};

/// Room for a line of the input, and for what JSON makes of it.
const PACKET: u32 = 8 << 20;

pub(crate) struct Mqtt {
    host: String,
    port: u16,
}

impl Mqtt {
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("the broker's address is wrong: {error}"))?;
        let host = uri.host().ok_or("the broker's address has no host")?.to_owned();
        let this = Self { host, port: uri.port_u16().unwrap_or(1883) };
        // To make a client connects to nothing.
        let (_client, mut eventloop) = this.client();
        this.wait_for(&mut eventloop, |event| matches!(event, Incoming::ConnAck(_))).await?;
        Ok(this)
    }

    fn client(&self) -> (AsyncClient, EventLoop) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let id = format!("notifications-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut options = MqttOptions::new(id, self.host.as_str(), self.port);
        options.set_manual_acks(true).set_max_packet_size(Some(PACKET));
        // What a worker has in hand the others cannot take.
        options.set_receive_maximum(Some(2));
        AsyncClient::new(options, 64)
    }

    async fn wait_for(&self, eventloop: &mut EventLoop, done: impl Fn(&Incoming) -> bool) -> Result<(), String> {
        let wait = async {
            loop {
                match eventloop.poll().await? {
                    Event::Incoming(event) if done(&event) => return Ok(()),
                    _ => {}
                }
            }
        };
        let address = || format!("{}:{}", self.host, self.port);
        match timeout(body::LIMIT, wait).await {
            Ok(done) => done.map_err(|error: ConnectionError| format!("no broker at {}: {error}", address())),
            Err(_) => Err(format!("no broker at {}: no answer within {:?}", address(), body::LIMIT)),
        }
    }

    fn destination(&self, topic: &'static str, describe: Describe<'_>) -> Destination {
        describe(Destination::new("mqtt", topic).server(self.host.as_str(), self.port))
    }

    pub(super) fn publisher(&self, topic: &'static str, describe: Describe<'_>) -> Publisher {
        let (client, mut eventloop) = self.client();
        let (progress, acknowledged) = watch::channel(Ok(0));
        spawn_detached(async move {
            while let Ok(event) = eventloop.poll().await {
                let Event::Incoming(Incoming::PubAck(ack)) = event else { continue };
                if ack.reason != PubAckReason::Success {
                    // Also where nobody has subscribed, because the message is gone.
                    let _ = progress.send_replace(Err(format!("the broker has refused a message: {:?}", ack.reason)));
                    return;
                }
                progress.send_modify(|progress| *progress = progress.clone().map(|count| count + 1));
            }
        });
        Publisher { client, topic, destination: self.destination(topic, describe), sent: Arc::default(), acknowledged }
    }

    pub(super) async fn consumer(&self, topic: &'static str, describe: Describe<'_>) -> Result<Consumer, String> {
        let (client, mut eventloop) = self.client();
        let (mut inbox, deliveries) = deliveries(&client, &eventloop);
        let subscribed = client.subscribe(format!("$share/workers/{topic}"), QoS::AtLeastOnce).await;
        subscribed.map_err(|error| format!("cannot consume {topic}: {error}"))?;
        self.wait_for(&mut eventloop, |event| matches!(event, Incoming::SubAck(_))).await?;
        // The consumer ends when the connection does, and the connection when the consumer does.
        spawn_detached(async move { while let Some(Ok(_)) = inbox.poll(&mut eventloop).await {} });
        Ok(Consumer { deliveries, destination: self.destination(topic, describe) })
    }
}

#[derive(Clone)]
pub(crate) struct Publisher {
    client: AsyncClient,
    topic: &'static str,
    destination: Destination,
    sent: Arc<Mutex<u64>>,
    /// How many of the sent ones the broker has acknowledged, or why it does so no more.
    acknowledged: watch::Receiver<Result<u64, String>>,
}

impl Publisher {
    pub(super) async fn publish(&self, job: &Job) -> Result<(), String> {
        let body = body::write(job)?;
        let mut properties = PublishProperties::default();
        let send = self.destination.send(&mut properties);
        send.run_async(|| self.deliver(body, properties)).await
    }

    /// rumqttc says that something is acknowledged, but not what. So wait until as many are as were sent. A refusal may be of any
    /// of them: all that wait fail, and all that come after.
    async fn deliver(&self, body: Vec<u8>, properties: PublishProperties) -> Result<(), String> {
        let number = {
            // Locked until it is sent, so that the numbers are in the order of the acknowledgements.
            let mut sent = self.sent.lock().await;
            let send = self.client.publish_with_properties(self.topic, QoS::AtLeastOnce, false, body, properties);
            send.await.map_err(|error| error.to_string())?;
            *sent += 1;
            *sent
        };
        let mut acknowledged = self.acknowledged.clone();
        let done = |progress: &Result<u64, String>| progress.as_ref().map_or(true, |&count| count >= number);
        match acknowledged.wait_for(done).await {
            Ok(progress) => progress.as_ref().map(drop).map_err(String::clone),
            Err(_) => Err("the connection to the broker is lost".to_owned()),
        }
    }
}

pub(crate) struct Consumer {
    deliveries: Deliveries<AsyncClient>,
    destination: Destination,
}

impl Consumer {
    pub(super) async fn process_each<F>(
        self,
        handle: impl Fn(Arc<Job>) -> F,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String>
    where
        F: Future<Output = Result<(), Failed>>,
    {
        let handle = &handle;
        let handle = async |publish: Publish| body::handle(&publish.payload, handle).await;
        let policy = Policy::within(body::LIMIT).decide(verdict);
        let mut stopped = false;
        let stop = async {
            stop.await;
            stopped = true;
        };
        self.destination.process_each(self.deliveries.take_until(stop), handle, policy).await;
        if stopped { Ok(()) } else { Err("the connection to the broker is lost".to_owned()) }
    }
}
