//! Load with faults on RabbitMQ: durable messages with confirms. It has a server and a binary of its own.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use ctxhop::{clients::lapin_4::confirmed, messaging::Policy};
use ctxhop_brokers::{
    load::{self, Ledger, STEP, connected},
    rabbitmq::RabbitMq,
};
use futures::{StreamExt, stream};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::Delivery,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use tokio::time::timeout;

const QUEUE: &str = "orders";

/// What all tasks share.
struct Shop {
    uri: String,
    ledger: Ledger,
}

impl Shop {
    async fn channel(&self) -> (Connection, Channel) {
        connected(|| self.try_channel()).await
    }

    async fn try_channel(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await?;
        Ok((connection, channel))
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
        let send = self.ledger.orders.send(&mut properties).on_ok(confirmed);
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

    async fn deliveries(&self, channel: &Channel) -> lapin::Result<lapin::Consumer> {
        channel.basic_qos(64, BasicQosOptions::default()).await?;
        channel.basic_consume(QUEUE.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await
    }

    async fn handle(&self, delivery: Delivery) -> io::Result<()> {
        self.ledger.handle(&delivery.data);
        Ok(())
    }
}

impl load::Shop for Shop {
    fn ledger(&self) -> &Ledger {
        &self.ledger
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

    async fn consume(&self, _: usize) {
        while !self.ledger.is_done() {
            let (_connection, channel) = self.channel().await;
            let Ok(deliveries) = self.deliveries(&channel).await else { continue };
            let deliveries = deliveries.take_until(self.ledger.done());
            let policy = Policy::within(STEP).at_once(16);
            // An error is that of a connection that is lost.
            self.ledger.orders.try_process_each(deliveries, |delivery| self.handle(delivery), policy).await.ok();
        }
    }

    async fn drain(&self) {
        let (_connection, channel) = self.channel().await;
        while let Some(message) = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap() {
            let one = stream::iter([message.delivery]);
            let policy = Policy::within(STEP);
            let each = self.ledger.orders.process_each(one, |delivery| self.handle(delivery), policy);
            assert_eq!(each.await.acked, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_server_is_killed() {
    let server = RabbitMq::start();
    let uri = server.uri();
    load::run("rabbitmq", server, RabbitMq::kill_and_restart, |ledger| Shop { uri, ledger }).await;
}
