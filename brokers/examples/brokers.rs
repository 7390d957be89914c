//! One handler and one retry policy, on whichever broker the argument names:
//!
//! ```text
//! cargo run --manifest-path brokers/Cargo.toml --example brokers                      # a queue in this process
//! cargo run --manifest-path brokers/Cargo.toml --example brokers -- redis://127.0.0.1
//! ```
//!
//! | argument | broker |
//! |---|---|
//! | `amqp://guest:guest@127.0.0.1:5672/%2f` | RabbitMQ |
//! | `kafka://127.0.0.1:9092` | Kafka |
//! | `nats://127.0.0.1:4222` | NATS with JetStream |
//! | `mqtt://127.0.0.1:1883` | any broker of MQTT 5 |
//! | `redis://127.0.0.1:6379` | Redis |
//! | `pubsub://127.0.0.1:8085` | the emulator of Google Pub/Sub, where topics and subscriptions are made |
//!
//! It sends three orders, handles them, and prints the trace of each. The traces are the same on all brokers.

use std::{
    env,
    error::Error,
    fmt::Display,
    future::{Ready, ready},
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ctxhop::{
    clients::{google_cloud_pubsub_1, lapin_4::confirmed, rdkafka_0_39, redis_1, rumqttc_0_25},
    messaging::{ByResult, Delivered, Destination, Policy, Tally, Verdict},
    propagation::TraceContextPropagator,
    queue,
    testing::TraceRecorder,
};
use futures::{Stream, StreamExt};
use tokio::time::Sleep;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The queue, topic, subject, stream or key.
const ORDERS: &str = "ctxhop-orders";
/// Those who handle the orders, where the broker asks for a name.
const BILLING: &str = "ctxhop-billing";

/// Where Pub/Sub has what is rejected.
const DEAD: &str = "ctxhop-dead";

const BODIES: [&str; 3] = ["apples", "pears", "plums"];
/// One for each order, and one more for the pears.
const DELIVERIES: usize = 4;

const LIMIT: Duration = Duration::from_secs(10);

/// What all brokers have in common.
#[derive(Default)]
pub struct Shop {
    pub recorder: TraceRecorder,
    pears: AtomicBool,
}

impl Shop {
    /// The handler. Apples are fine, pears are sold out until they are asked for again, and plums are not sold at all.
    async fn handle(&self, body: &[u8]) -> io::Result<()> {
        match body {
            b"apples" => Ok(()),
            b"pears" if self.pears.swap(true, Ordering::Relaxed) => Ok(()),
            b"pears" => Err(io::Error::new(io::ErrorKind::WouldBlock, "no pears yet")),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what is that?")),
        }
    }

    /// The policy. What will never be sold is given up at once, and anything else at the fifth attempt.
    fn policy() -> Policy<impl Fn() -> Sleep, ByResult<impl Fn(&io::Result<()>) -> Verdict>> {
        Policy::within(LIMIT).attempts(5).decide(|result: &io::Result<()>| match result {
            Ok(()) => Verdict::Ack,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Verdict::Reject,
            Err(_) => Verdict::Retry,
        })
    }

    /// The consumer.
    async fn consume<D>(&self, orders: &Destination, deliveries: impl Stream<Item = D>) -> Tally
    where
        D: Delivered<Message: Body>,
    {
        // A service goes on for ever; an example ends.
        let deliveries = deliveries.take(DELIVERIES);
        orders.process_each(deliveries, async |message| self.handle(message.body()).await, Self::policy()).await
    }

    fn orders(&self, system: &'static str) -> Destination {
        let orders = Destination::new(system, ORDERS).with_tracer_provider(self.recorder.provider());
        orders.with_propagator(TraceContextPropagator::new())
    }

    async fn in_memory(&self) -> Result<Tally> {
        let orders = self.orders("in_memory");
        let (publisher, consumer) = queue::bounded(orders.clone(), BODIES.len());
        for body in BODIES {
            publisher.publish(body).await?;
        }
        Ok(self.consume(&orders, consumer).await)
    }

    async fn amqp(&self, url: &str) -> Result<Tally> {
        use lapin::{BasicProperties, Connection, ConnectionProperties, options::ConfirmSelectOptions};
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.queue_declare(ORDERS.into(), Default::default(), Default::default()).await?;

        let orders = self.orders("rabbitmq");
        for body in BODIES {
            let mut properties = BasicProperties::default();
            let send = orders.send(&mut properties).on_ok(confirmed);
            let publish = async || {
                let options = Default::default();
                channel.basic_publish("".into(), ORDERS.into(), options, body.as_bytes(), properties).await?.await
            };
            send.run_async(publish).await?;
        }

        let options = Default::default();
        let deliveries = channel.basic_consume(ORDERS.into(), BILLING.into(), options, Default::default()).await?;
        let tally = self.consume(&orders, deliveries.filter_map(well)).await;
        // So that the broker sends no more orders to this consumer.
        connection.close(200, "".into()).await?;
        Ok(tally)
    }

    async fn kafka(&self, brokers: &str) -> Result<Tally> {
        use rdkafka::{
            ClientConfig,
            consumer::{Consumer, StreamConsumer},
            producer::{FutureProducer, FutureRecord},
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let producer: FutureProducer = config.create()?;
        config.set("group.id", BILLING).set("auto.offset.reset", "earliest").set("enable.auto.offset.store", "false");
        // The next run does not wait longer than this for the place of a consumer that is gone.
        config.set("session.timeout.ms", "6000");
        let consumer: StreamConsumer = config.create()?;

        let orders = self.orders("kafka").consumer_group(BILLING);
        for body in BODIES {
            let mut record = FutureRecord::<str, str>::to(ORDERS).payload(body);
            let send = orders.send(&mut record).on_ok(rdkafka_0_39::delivered);
            send.run_async(async || producer.send(record, LIMIT).await.map_err(|(error, _)| error)).await?;
        }

        consumer.subscribe(&[ORDERS])?;
        Ok(self.consume(&orders, rdkafka_0_39::records(&consumer)?.filter_map(well)).await)
    }

    async fn nats(&self, url: &str) -> Result<Tally> {
        use async_nats::{
            HeaderMap,
            jetstream::{self, consumer::pull},
        };
        let jetstream = jetstream::new(async_nats::connect(url).await?);
        let stream = jetstream::stream::Config { name: ORDERS.into(), ..Default::default() };
        let stream = jetstream.get_or_create_stream(stream).await?;
        let consumer = pull::Config { durable_name: Some(BILLING.into()), ..Default::default() };
        let consumer = stream.get_or_create_consumer(BILLING, consumer).await?;

        let orders = self.orders("nats").consumer_group(BILLING);
        for body in BODIES {
            let mut headers = HeaderMap::new();
            let send = orders.send(&mut headers);
            let publish = async || jetstream.publish_with_headers(ORDERS, headers, body.into()).await?.await;
            send.run_async(publish).await?;
        }

        Ok(self.consume(&orders, consumer.messages().await?.filter_map(well)).await)
    }

    async fn mqtt(&self, address: &str) -> Result<Tally> {
        use rumqttc::v5::{
            AsyncClient, MqttOptions,
            mqttbytes::{QoS, v5::PublishProperties},
        };
        let (host, port) = address.split_once(':').unwrap_or((address, "1883"));
        let mut options = MqttOptions::new(BILLING, host, port.parse()?);
        options.set_manual_acks(true);
        let (client, mut eventloop) = AsyncClient::new(options, 16);
        let (mut inbox, deliveries) = rumqttc_0_25::deliveries(&client, &eventloop);
        tokio::spawn(async move { while let Some(Ok(_)) = inbox.poll(&mut eventloop).await {} });
        client.subscribe(ORDERS, QoS::AtLeastOnce).await?;

        let orders = self.orders("mqtt").client_id(BILLING);
        for body in BODIES {
            let mut properties = PublishProperties::default();
            let send = orders.send(&mut properties);
            let publish = || client.publish_with_properties(ORDERS, QoS::AtLeastOnce, false, body, properties);
            send.run_async(publish).await?;
        }

        Ok(self.consume(&orders, deliveries).await)
    }

    async fn redis(&self, url: &str) -> Result<Tally> {
        use redis::{AsyncConnectionConfig, AsyncTypedCommands, Client};
        let (client, config) = (Client::open(url)?, AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT)));
        let connect = || client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connect().await?;
        let made = connection.xgroup_create_mkstream(ORDERS, BILLING, "0").await;
        made.or_else(|error| if error.code() == Some("BUSYGROUP") { Ok(()) } else { Err(error) })?;

        let orders = self.orders("redis").consumer_group(BILLING);
        for body in BODIES {
            let mut fields = vec![("body".to_owned(), body.to_owned())];
            let send = orders.send(&mut fields).on_ok(redis_1::added);
            send.run_async(|| connection.xadd(ORDERS, "*", &fields)).await?;
        }

        // So short that the example soon ends: in a service it is longer than the handler ever takes.
        let group = redis_1::Group::new(ORDERS, BILLING).claim_after(Duration::from_millis(100));
        let entries = group.entries("worker-1", connect().await?, connection);
        Ok(self.consume(&orders, entries.filter_map(well)).await)
    }

    async fn pubsub(&self, address: &str) -> Result<Tally> {
        use futures::TryStreamExt;
        use google_cloud_auth::credentials::anonymous;
        use google_cloud_pubsub::{
            client::{Publisher, Subscriber},
            model::Message,
        };
        let (endpoint, nobody) = (format!("http://{address}"), anonymous::Builder::new().build());
        let publisher = |topic: &str| {
            let builder = Publisher::builder(format!("projects/shop/topics/{topic}"));
            builder.with_endpoint(&endpoint).with_credentials(nobody.clone()).build()
        };
        let (publisher, dead) = (publisher(ORDERS).await?, publisher(DEAD).await?);
        let subscriber = Subscriber::builder().with_endpoint(&endpoint).with_credentials(nobody).build().await?;

        let orders = self.orders("gcp_pubsub").subscription(BILLING);
        for body in BODIES {
            let mut message = Message::new().set_data(body);
            let send = orders.send(&mut message).on_ok(google_cloud_pubsub_1::published);
            send.run_async(|| publisher.publish(message)).await?;
        }

        let messages = subscriber.subscribe(format!("projects/shop/subscriptions/{BILLING}")).build();
        let done = messages.shutdown_token();
        let deliveries = google_cloud_pubsub_1::deliveries(messages);
        let deliveries = deliveries.map_ok(|delivery| delivery.dead_letters(dead.clone()));
        let tally = self.consume(&orders, deliveries.filter_map(well)).await;
        // The client acknowledges in the background.
        done.shutdown().await;
        Ok(tally)
    }

    /// Sends and handles the orders.
    pub async fn run(&self, broker: Option<&str>) -> Result<Tally> {
        let Some(url) = broker else { return self.in_memory().await };
        match url.split_once("://") {
            Some(("amqp", _)) => self.amqp(url).await,
            Some(("kafka", brokers)) => self.kafka(brokers).await,
            Some(("nats", _)) => self.nats(url).await,
            Some(("mqtt", address)) => self.mqtt(address).await,
            Some(("redis", _)) => self.redis(url).await,
            Some(("pubsub", address)) => self.pubsub(address).await,
            _ => Err(format!("no broker is known by {url}").into()),
        }
    }
}

/// What was sent. Each client has a type of its own for messages.
trait Body {
    fn body(&self) -> &[u8];
}

impl Body for queue::Message<&'static str> {
    fn body(&self) -> &[u8] {
        self.payload.as_bytes()
    }
}

impl Body for lapin::message::Delivery {
    fn body(&self) -> &[u8] {
        &self.data
    }
}

impl Body for rdkafka::message::OwnedMessage {
    fn body(&self) -> &[u8] {
        rdkafka::Message::payload(self).unwrap_or_default()
    }
}

impl Body for async_nats::jetstream::Message {
    fn body(&self) -> &[u8] {
        &self.payload
    }
}

impl Body for rumqttc::v5::mqttbytes::v5::Publish {
    fn body(&self) -> &[u8] {
        &self.payload
    }
}

impl Body for google_cloud_pubsub::model::Message {
    fn body(&self) -> &[u8] {
        &self.data
    }
}

impl Body for redis::streams::StreamId {
    fn body(&self) -> &[u8] {
        match self.map.get("body") {
            Some(redis::Value::BulkString(body)) => body,
            _ => b"",
        }
    }
}

/// Most clients' streams go on after an error.
fn well<T>(delivery: Result<T, impl Display>) -> Ready<Option<T>> {
    ready(delivery.inspect_err(|error| eprintln!("{error}")).ok())
}

#[tokio::main]
async fn main() -> Result<()> {
    let shop = Shop::default();
    let tally = shop.run(env::args().nth(1).as_deref()).await?;
    println!("{}\n{tally:?}", shop.recorder.tree().display().durations(false));
    Ok(())
}
