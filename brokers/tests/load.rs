//! Load with faults: durable messages with confirms, and a server that is killed twice. It has a server and a binary of its own.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ctxhop::{
    clients::lapin_4::confirmed,
    messaging::{Destination, Policy},
    testing::{Parent, TraceNode, TraceRecorder},
};
use ctxhop_brokers::{rabbitmq::RabbitMq, rig::propagator};
use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use opentelemetry::{
    Context,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

const PRODUCERS: usize = 4;
const CONSUMERS: usize = 4;
const MESSAGES: usize = 20_000;
/// The server is killed when so many messages are handled.
const KILLS: [usize; 2] = [MESSAGES / 4, MESSAGES / 2];
const QUEUE: &str = "orders";

/// What takes longer hangs: a settlement, a confirmation, a connection.
const STEP: Duration = Duration::from_secs(5);
const ALL: Duration = Duration::from_secs(170);

/// Counts spans that have begun and not ended.
#[derive(Clone, Debug, Default)]
struct Open(Arc<AtomicUsize>);

impl SpanProcessor for Open {
    fn on_start(&self, _: &mut Span, _: &Context) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn on_end(&self, _: SpanData) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What all tasks share.
struct Shop {
    uri: String,
    orders: Destination,
    /// How often each message was handled.
    handled: Vec<AtomicUsize>,
    /// How many messages were handled.
    progress: watch::Sender<usize>,
}

impl Shop {
    /// A channel, as soon as there is a server.
    async fn channel(&self) -> (Connection, Channel) {
        loop {
            match timeout(STEP, self.try_channel()).await {
                Ok(Ok(channel)) => return channel,
                // There is nothing to wait for but time: a server that starts tells nobody.
                Ok(Err(_)) => sleep(Duration::from_millis(50)).await,
                Err(_) => {}
            }
        }
    }

    async fn try_channel(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await?;
        Ok((connection, channel))
    }

    async fn produce(&self, ids: Vec<usize>) {
        let mut pending: Vec<_> = ids
            .into_iter()
            .map(|id| (id, BasicProperties::default().with_delivery_mode(2).with_message_id(id.to_string().into())))
            .collect();
        while !pending.is_empty() {
            let (_connection, channel) = self.channel().await;
            let lost = AtomicBool::new(false);
            let sends = stream::iter(pending).map(|message| self.send(&channel, &lost, message));
            pending = sends.buffer_unordered(64).filter_map(async |unsent| unsent).collect().await;
        }
    }

    /// Gives the message back if it is not confirmed, with the context that it has.
    async fn send(
        &self,
        channel: &Channel,
        lost: &AtomicBool,
        (id, mut properties): (usize, BasicProperties),
    ) -> Option<(usize, BasicProperties)> {
        if lost.load(Ordering::Relaxed) {
            return Some((id, properties));
        }
        let send = self.orders.send(&mut properties).on_ok(confirmed);
        let publish = async || {
            let options = BasicPublishOptions::default();
            let body = id.to_string();
            channel.basic_publish("".into(), QUEUE.into(), options, body.as_bytes(), properties.clone()).await?.await
        };
        match timeout(STEP, send.run_async(publish)).await {
            Ok(Ok(confirmation)) if confirmation.is_ack() => None,
            _ => {
                lost.store(true, Ordering::Relaxed);
                Some((id, properties))
            }
        }
    }

    /// Until all messages are handled.
    async fn consume(&self) {
        let mut progress = self.progress.subscribe();
        while *progress.borrow_and_update() < MESSAGES {
            let (_connection, channel) = self.channel().await;
            let Ok(deliveries) = self.deliveries(&channel).await else { continue };
            let mut progress = self.progress.subscribe();
            let done = Box::pin(async move { progress.wait_for(|handled| *handled == MESSAGES).await.is_ok() });
            let policy = Policy::within(STEP).at_once(16);
            // An error is that of a connection that is lost.
            self.orders
                .try_process_each(deliveries.take_until(done), |delivery| self.handle(delivery), policy)
                .await
                .ok();
        }
    }

    async fn deliveries(&self, channel: &Channel) -> lapin::Result<lapin::Consumer> {
        channel.basic_qos(64, BasicQosOptions::default()).await?;
        channel.basic_consume(QUEUE.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await
    }

    async fn handle(&self, delivery: Delivery) -> io::Result<()> {
        let id: usize = str::from_utf8(&delivery.data).ok().and_then(|id| id.parse().ok()).expect("a number");
        if self.handled[id].fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress.send_modify(|handled| *handled += 1);
        }
        Ok(())
    }

    /// What was handled, and is back in the queue because its acknowledgement was lost.
    async fn drain(&self) {
        let (_connection, channel) = self.channel().await;
        while let Some(message) = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap() {
            let one = stream::iter([message.delivery]);
            let each = self.orders.process_each(one, |delivery| self.handle(delivery), Policy::within(STEP));
            assert_eq!(each.await.acked, 1);
        }
    }
}

/// Kills the server and starts it again, when so many messages are handled.
async fn kill(mut server: RabbitMq, mut progress: watch::Receiver<usize>) -> RabbitMq {
    for at in KILLS {
        progress.wait_for(|handled| *handled >= at).await.unwrap();
        server = tokio::task::spawn_blocking(|| {
            server.kill_and_restart();
            server
        })
        .await
        .unwrap();
    }
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_server_is_killed() {
    let open = Open::default();
    let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder().with_span_processor(open.clone()));
    let server = RabbitMq::start();
    let orders = Destination::new("rabbitmq", "orders");
    let shop = Arc::new(Shop {
        uri: server.uri(),
        orders: orders.with_tracer_provider(recorder.provider()).with_propagator(propagator()),
        handled: (0..MESSAGES).map(|_| AtomicUsize::new(0)).collect(),
        progress: watch::Sender::new(0),
    });
    let server = tokio::spawn(kill(server, shop.progress.subscribe()));
    let tasks = FuturesUnordered::new();
    for producer in 0..PRODUCERS {
        let ids = (producer..MESSAGES).step_by(PRODUCERS).collect();
        let shop = shop.clone();
        tasks.push(tokio::spawn(async move { shop.produce(ids).await }));
    }
    for _ in 0..CONSUMERS {
        let shop = shop.clone();
        tasks.push(tokio::spawn(async move { shop.consume().await }));
    }
    let all = tasks.for_each(async |task| task.expect("no task panics"));
    timeout(ALL, all).await.unwrap_or_else(|_| panic!("{} of {MESSAGES} are handled", *shop.progress.borrow()));
    // The server lives until here.
    let _server = server.await.expect("the server is back");
    timeout(ALL, shop.drain()).await.expect("what is left is handled");

    assert!(shop.handled.iter().all(|handled| handled.load(Ordering::Relaxed) > 0), "none is lost");
    assert_eq!(open.0.load(Ordering::Relaxed), 0, "each span has ended");
    check(&recorder);
}

/// Each message has one tree, with an acknowledgement in it, and what is not in a tree is another attempt to send.
fn check(recorder: &TraceRecorder) {
    let tree = recorder.tree();
    let mut trees = HashMap::new();
    for root in tree.roots() {
        assert_eq!((root.name(), root.parent()), ("send orders", Parent::None), "a tree in pieces: {root:?}");
        if root.span().span_kind == SpanKind::Producer {
            let id = root.span().attributes.iter().find(|attribute| attribute.key.as_str() == "messaging.message.id");
            let before = trees.insert(id.expect("an id").value.to_string(), ());
            assert!(before.is_none(), "one tree for each message");
            let well = |name| root.children().iter().any(|child| child.name() == name && is_well(child));
            assert!(well("process orders") && well("ack orders"), "not settled: {root:?}");
        } else {
            assert_eq!(root.span().links.len(), 1, "another attempt links to the message");
        }
    }
    assert_eq!(trees.len(), MESSAGES);
    let count = |name| tree.find_all(name).count();
    let failed = |name| tree.find_all(name).filter(|node| !is_well(node)).count();
    println!(
        "{} sent, {} processed, {} acknowledged; failed: {} sends, {} acknowledgements",
        count("send orders"),
        count("process orders"),
        count("ack orders"),
        failed("send orders"),
        failed("ack orders"),
    );
}

fn is_well(node: &TraceNode) -> bool {
    node.span().status == Status::Unset
}
