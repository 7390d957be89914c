//! What the traces take of a message's way from its producer to its settlement: over lapin on a real RabbitMQ, and over rdkafka on
//! its mock cluster; bare, and with ctxhop.
//!
//! A thousand messages go in each round, so that the client's own batching works as it does under load. The spans are recorded
//! and dropped: what an exporter takes comes on top.

#[path = "../../benches/measure/mod.rs"]
mod measure;

use std::{convert::Infallible, time::Duration};

use ctxhop::{
    clients::{
        lapin_4::confirmed,
        rdkafka_0_39::{delivered, records},
    },
    messaging::{Destination, Policy},
};
use ctxhop_brokers::{kafka::Kafka, rabbitmq::RabbitMq, rig::propagator};
use futures::{StreamExt, future::join_all};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use measure::measure;
use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use rdkafka::{
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
    producer::{FutureProducer, FutureRecord, future_producer::Delivery},
};
use tokio::runtime::Runtime;

const MESSAGES: usize = 1000;
const ROUNDS: usize = 30;
const LIMIT: Duration = Duration::from_secs(10);
const QUEUE: &str = "orders";
const BODY: &str = "two apples";

/// Has the spans recorded, and drops them.
#[derive(Debug)]
struct Drops;

impl SpanProcessor for Drops {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn orders(system: &'static str) -> Destination {
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_span_processor(Drops).build();
    Destination::new(system, QUEUE).with_tracer_provider(&provider).with_propagator(propagator())
}

async fn publish(channel: &Channel, properties: BasicProperties) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), QUEUE.into(), options, BODY.as_bytes(), properties).await?.await
}

async fn lapin_bare(channel: &Channel, consumer: &mut Consumer) {
    for sent in join_all((0..MESSAGES).map(|_| publish(channel, BasicProperties::default()))).await {
        sent.unwrap();
    }
    for _ in 0..MESSAGES {
        let delivery = consumer.next().await.unwrap().unwrap();
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
}

async fn lapin_traced(channel: &Channel, consumer: &mut Consumer, orders: &Destination) {
    let send = |_| {
        let mut properties = BasicProperties::default();
        let send = orders.send(&mut properties).on_ok(confirmed);
        send.run_async(|| publish(channel, properties))
    };
    for sent in join_all((0..MESSAGES).map(send)).await {
        sent.unwrap();
    }
    let deliveries = consumer.take(MESSAGES);
    let handler = async |_| Ok::<_, Infallible>(());
    orders.try_process_each(deliveries, handler, Policy::within(LIMIT)).await.unwrap();
}

async fn produce(producer: &FutureProducer, record: FutureRecord<'_, str, str>) -> Result<Delivery, KafkaError> {
    producer.send(record, LIMIT).await.map_err(|(error, _)| error)
}

async fn rdkafka_bare(producer: &FutureProducer, consumer: &StreamConsumer) {
    let record = || FutureRecord::to(QUEUE).payload(BODY);
    for sent in join_all((0..MESSAGES).map(|_| produce(producer, record()))).await {
        sent.unwrap();
    }
    for _ in 0..MESSAGES {
        consumer.store_offset_from_message(&consumer.recv().await.unwrap()).unwrap();
    }
}

async fn rdkafka_traced(producer: &FutureProducer, consumer: &StreamConsumer, orders: &Destination) {
    let send = |_| {
        let mut record = FutureRecord::to(QUEUE).payload(BODY);
        let send = orders.send(&mut record).on_ok(delivered);
        send.run_async(|| produce(producer, record))
    };
    for sent in join_all((0..MESSAGES).map(send)).await {
        sent.unwrap();
    }
    let handler = async |_| Ok::<_, Infallible>(());
    orders.try_process_each(records(consumer).unwrap().take(MESSAGES), handler, Policy::within(LIMIT)).await.unwrap();
}

/// The time of a message, and the share that ctxhop has of it.
fn report(client: &str, bare: &mut dyn FnMut(), traced: &mut dyn FnMut()) {
    let rounds = measure(ROUNDS, &mut [("bare", bare), ("ctxhop", traced)]);
    let [bare, traced] = [0, 1].map(|variant| rounds.time(variant).scaled(1e-3 / MESSAGES as f64).median);
    let ratio = rounds.ratio(1, 0);
    let [low, share, high] = [ratio.low, ratio.median, ratio.high].map(|ratio| 100. * (1. - 1. / ratio));
    println!(
        "{client}: {bare:.1} µs bare, {traced:.1} µs with ctxhop, whose share is {share:.0} % ({low:.0} to {high:.0})"
    );
}

fn main() {
    let runtime = Runtime::new().unwrap();
    // A consumer of rdkafka's spawns where it is made.
    let _entered = runtime.enter();

    let server = RabbitMq::start();
    let (_connection, channel, consumer) = runtime.block_on(async {
        let connection = Connection::connect(&server.uri(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channel.queue_declare(QUEUE.into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
        let options = Default::default();
        let consumer = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await.unwrap();
        (connection, channel, consumer)
    });
    let (mut one, mut two, traced) = (consumer.clone(), consumer, orders("rabbitmq"));
    report("lapin on RabbitMQ", &mut || runtime.block_on(lapin_bare(&channel, &mut one)), &mut || {
        runtime.block_on(lapin_traced(&channel, &mut two, &traced))
    });

    let kafka = Kafka::new();
    let producer = kafka.producer(QUEUE);
    let (consumer, traced) = (kafka.consumer(QUEUE), orders("kafka"));
    report("rdkafka on its mock cluster", &mut || runtime.block_on(rdkafka_bare(&producer, &consumer)), &mut || {
        runtime.block_on(rdkafka_traced(&producer, &consumer, &traced))
    });
}
