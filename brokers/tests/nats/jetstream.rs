//! JetStream: what is delivered until it is settled.

use std::{
    io,
    time::{Duration, Instant},
};

use async_nats::{
    ConnectOptions, HeaderMap,
    jetstream::{
        self, AckKind, Message,
        consumer::{PullConsumer, pull::Config},
        stream,
    },
};
use ctxhop::{
    carrier::Carrier,
    messaging::{Policy, Tally},
};
use ctxhop_brokers::{
    nats::Nats,
    rig::{Rig, attribute},
};
use futures::{StreamExt, future::pending};
use opentelemetry::{KeyValue, Value, trace::Status};
use tokio::time::timeout;

use crate::{LIMIT, publish_raw};

struct Stream {
    rig: Rig,
    nats: Nats,
    context: jetstream::Context,
    stream: stream::Stream,
}

impl Stream {
    async fn new() -> Self {
        let nats = Nats::start();
        let context = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        let subjects = vec!["orders".into(), "orders.*".into()];
        let config = stream::Config { name: "ORDERS".into(), subjects, ..Default::default() };
        let stream = context.create_stream(config).await.unwrap();
        Self { rig: Rig::new(), nats, context, stream }
    }

    async fn send(&self, subject: &'static str) {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, "17");
        let send = self.rig.destination("nats", subject).send(&mut headers);
        let publish = async || self.context.publish_with_headers(subject, headers, "two apples".into()).await?.await;
        send.run_async(publish).await.unwrap();
    }

    async fn consumer(&self, ack_wait: Duration) -> PullConsumer {
        let config = Config { durable_name: Some("billing".into()), ack_wait, ..Default::default() };
        self.stream.get_or_create_consumer("billing", config).await.unwrap()
    }

    /// Handles so many deliveries.
    async fn handle<F: Future<Output = io::Result<()>>>(
        &self,
        deliveries: usize,
        attempts: u64,
        handler: impl Fn(Message) -> F,
    ) -> Tally {
        let messages = self.consumer(LIMIT).await.messages().await.unwrap().take(deliveries);
        let policy = Policy::within(LIMIT).attempts(attempts);
        let each = self.rig.destination("nats", "orders").try_process_each(messages, handler, policy);
        timeout(LIMIT, each).await.expect("a loop that ends").unwrap()
    }

    /// How many messages the consumer has still to settle.
    async fn unsettled(&self) -> u64 {
        let mut consumer = self.consumer(LIMIT).await;
        let info = consumer.info().await.unwrap();
        info.num_pending + info.num_ack_pending as u64
    }
}

#[tokio::test]
async fn a_message_is_sent_processed_and_settled_in_one_trace() {
    let stream = Stream::new().await;
    stream.send("orders").await;
    let handler = async |message: Message| {
        assert_eq!(message.payload, "two apples");
        // Also where no loop says it.
        assert!(message.describe().any(|said| said == KeyValue::new("ctxhop.delivery_count", 1)));
        // The handler may say that it is still at work.
        message.ack_with(AckKind::Progress).await.map_err(io::Error::other)
    };
    assert_eq!(stream.handle(1, 1, handler).await.acked, 1);
    assert_eq!(stream.unsettled().await, 0);
    assert_eq!(
        stream.rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         └─ process orders [consumer] ~> send orders"
    );
    let process = &stream.rig.spans("process orders")[0];
    for (key, value) in [
        ("messaging.message.id", Value::from("17")),
        ("messaging.message.body.size", Value::from(10)),
        ("ctxhop.delivery_count", Value::from(1)),
    ] {
        assert_eq!(attribute(process, key), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_message_is_delivered_again_and_then_given_up() {
    let stream = Stream::new().await;
    stream.send("orders").await;
    let tally = stream.handle(3, 3, async |_| Err(io::Error::other("no apples"))).await;
    assert_eq!((tally.retried, tally.rejected), (2, 1));
    assert_eq!(stream.unsettled().await, 0);
    let count = |span| attribute(span, "ctxhop.delivery_count");
    let counts: Vec<_> = stream.rig.spans("process orders").iter().map(count).collect();
    assert_eq!(counts, [1, 2, 3].map(|count| Some(Value::from(count))));
    stream.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_handler_that_panics_has_its_message_again() {
    let stream = Stream::new().await;
    stream.send("orders").await;
    let handler = async |message: Message| {
        assert!(message.info().unwrap().delivered > 1, "no apples");
        Ok(())
    };
    let tally = stream.handle(2, 3, handler).await;
    assert_eq!((tally.panicked, tally.retried, tally.acked), (1, 1, 1));
    stream.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_cancelled_loop_leaves_its_message_to_be_delivered_again() {
    let stream = Stream::new().await;
    stream.send("orders").await;
    let orders = stream.rig.destination("nats", "orders");
    let begun = tokio::sync::Notify::new();
    let messages = stream.consumer(Duration::from_millis(100)).await.messages().await.unwrap();
    let stuck = orders.try_process_each(
        messages,
        async |_| {
            begun.notify_one();
            pending::<io::Result<()>>().await
        },
        Policy::within(LIMIT),
    );
    tokio::select! {
        _ = stuck => unreachable!("the handler never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(stream.rig.spans("process orders")[0].status, Status::error("cancelled"));
    assert_eq!(stream.handle(1, 3, async |_| Ok(())).await.acked, 1);
    stream.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn the_server_is_killed_in_between() {
    let mut stream = Stream::new().await;
    stream.send("orders").await;
    let messages = stream.consumer(LIMIT).await.messages().await.unwrap();
    let mut messages = Box::pin(messages);
    let message = crate::next(&mut messages).await.unwrap();
    stream.nats.kill_and_restart();
    // The settlement waits for the new server, or fails: it neither hangs nor says that a lost one is done.
    let orders = stream.rig.destination("nats", "orders");
    let one = futures::stream::iter([message]);
    let each = orders.process_each(one, async |_| Ok::<_, io::Error>(()), Policy::within(Duration::from_secs(10)));
    let tally = timeout(LIMIT, each).await.expect("no loop hangs");
    assert_eq!(tally.acked + tally.unsettled, 1);
    assert_eq!(stream.unsettled().await, tally.unsettled);
    stream.rig.tree().assert_single_trace();
}

/// What the documentation says of a header that is not UTF-8.
#[tokio::test]
async fn a_message_that_ends_the_connection_takes_those_after_it_in_its_batch_along() {
    for (batch, lost) in [(200, true), (1, false)] {
        let stream = Stream::new().await;
        publish_raw(&stream.nats, b"NATS/1.0\r\nbad: \xff\xfe\r\n\r\n");
        stream.send("orders").await;
        let mut consumer = stream.consumer(LIMIT).await;
        let mut messages = consumer.stream().max_messages_per_batch(batch).messages().await.unwrap();
        if lost {
            // The server has sent both, and nobody has got them.
            let until = Box::pin(both_sent(&mut consumer));
            assert!(messages.take_until(until).next().await.is_none());
        } else {
            crate::next(&mut messages).await.unwrap().double_ack().await.unwrap();
        }
    }
}

async fn both_sent(consumer: &mut PullConsumer) {
    while consumer.info().await.map_or(0, |info| info.num_ack_pending) < 2 {}
}

#[tokio::test]
async fn the_subject_is_the_destination_and_the_wildcard_its_template() {
    let stream = Stream::new().await;
    stream.send("orders.eu").await;
    let messages = stream.consumer(LIMIT).await.messages().await.unwrap().take(1);
    let orders = stream.rig.destination("nats", "orders.*");
    let each = orders.try_process_each(messages, async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT));
    assert_eq!(timeout(LIMIT, each).await.unwrap().unwrap().acked, 1);
    let process = &stream.rig.spans("process orders.*")[0];
    assert_eq!(attribute(process, "messaging.destination.name"), Some(Value::from("orders.eu")));
}

#[tokio::test]
async fn a_settlement_that_the_server_refuses_is_a_failure() {
    let stream = Stream::new().await;
    stream.send("orders").await;
    let gone = async |_| {
        stream.stream.delete_consumer("billing").await.unwrap();
        Ok(())
    };
    let tally = stream.handle(1, 3, gone).await;
    assert_eq!((tally.acked, tally.unsettled), (0, 1));
    assert!(matches!(stream.rig.spans("ack orders")[0].status, Status::Error { .. }));
}

#[tokio::test]
async fn a_settlement_that_nobody_confirms_fails_after_the_clients_request_timeout() {
    const REQUEST_TIMEOUT: Duration = Duration::from_millis(200);
    let stream = Stream::new().await;
    stream.send("orders").await;
    let messages = stream.consumer(LIMIT).await.messages().await.unwrap();
    let mut message = crate::next(&mut Box::pin(messages)).await.unwrap();
    let options = ConnectOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let client = options.connect(stream.nats.url()).await.unwrap();
    let _silent = client.subscribe("silent").await.unwrap();
    message.message.reply = Some("silent".into());
    message.context = jetstream::new(client);

    let (orders, start) = (stream.rig.destination("nats", "orders"), Instant::now());
    let each =
        orders.process_each(futures::stream::iter([message]), async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT));
    let tally = each.await;
    assert_eq!((tally.acked, tally.unsettled), (0, 1));
    assert!((REQUEST_TIMEOUT..LIMIT).contains(&start.elapsed()), "{:?}", start.elapsed());
}
