//! A server, a topic and a subscription for each test.

use std::io;

use ctxhop::{
    clients::google_cloud_pubsub_1::{Delivery, deliveries, published},
    messaging::{Destination, Policy, Tally},
};
use ctxhop_brokers::{pubsub::PubSub, rig::Rig};
use futures::{Stream, StreamExt, TryStreamExt};
use google_cloud_pubsub::{Error, client::Publisher, model::Message};
use tokio::time::timeout;

use crate::LIMIT;

pub(crate) struct Shop {
    pub(crate) rig: Rig,
    pub(crate) pubsub: PubSub,
    pub(crate) publisher: Publisher,
    pub(crate) orders: Destination,
}

impl Shop {
    /// A subscription whose deliveries are counted, and given up after the fifth.
    pub(crate) async fn new() -> Self {
        Self::with("orders/billing?dead=orders.dead&attempts=5").await
    }

    pub(crate) async fn with(subscription: &str) -> Self {
        let (rig, pubsub) = (Rig::new(), PubSub::start(&["orders.dead/undertaker", subscription]));
        let publisher = pubsub.publisher("orders").await;
        let orders = rig.destination("gcp_pubsub", "orders").subscription("billing");
        Self { rig, pubsub, publisher, orders }
    }

    pub(crate) async fn send(&self, message: Message) {
        let mut message = message;
        let send = self.orders.send(&mut message).on_ok(published);
        send.run_async(|| self.publisher.publish(message)).await.unwrap();
    }

    pub(crate) async fn deliveries(&self, subscription: &str) -> impl Stream<Item = Result<Delivery, Error>> + use<> {
        deliveries(self.pubsub.messages(subscription).await)
    }

    /// Handles so many deliveries, and waits until the server knows what came of them.
    pub(crate) async fn handle<F: Future<Output = io::Result<()>>>(
        &self,
        count: usize,
        dead_letters: Option<&Publisher>,
        handler: impl Fn(Message) -> F,
    ) -> Tally {
        let messages = self.pubsub.messages("billing").await;
        let done = messages.shutdown_token();
        let deliveries = deliveries(messages).take(count).map_ok(|delivery| match dead_letters {
            Some(publisher) => delivery.dead_letters(publisher.clone()),
            None => delivery,
        });
        let each = self.orders.try_process_each(deliveries, handler, Policy::within(LIMIT).attempts(3));
        let tally = timeout(LIMIT, each).await.expect("a loop that ends").unwrap();
        timeout(LIMIT, done.shutdown()).await.expect("a client that ends");
        tally
    }

    /// The next message of a subscription, which is acknowledged.
    pub(crate) async fn next(&self, subscription: &str) -> Message {
        let mut messages = self.pubsub.messages(subscription).await;
        let next = timeout(LIMIT, messages.next()).await.expect("a message in time").expect("a message");
        let (message, handler) = next.unwrap();
        handler.ack();
        timeout(LIMIT, messages.shutdown_token().shutdown()).await.expect("a client that ends");
        message
    }
}

pub(crate) fn apples() -> Message {
    Message::new().set_data("two apples")
}

pub(crate) fn no_apples() -> io::Error {
    io::Error::other("no apples")
}
