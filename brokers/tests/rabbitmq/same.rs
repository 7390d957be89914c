//! The same handler and policy, on the in-memory queue and on RabbitMQ: the same trees.

use std::{io, pin::Pin};

use ctxhop::{
    messaging::{Destination, Policy, Tally},
    queue::{self, Message},
};
use ctxhop_brokers::rig::{Rig, propagator};
use futures::StreamExt;
use lapin::{BasicProperties, message::Delivery};
use tokio::time::timeout;

use crate::{LIMIT, broker::Broker};

/// Apples are fine, pears are not, and plums are worse.
async fn handle(body: Vec<u8>) -> io::Result<()> {
    match &*body {
        b"apples" => Ok(()),
        b"pears" => Err(io::Error::other("no pears")),
        _ => panic!("no plums"),
    }
}

const BODIES: [&[u8]; 3] = [b"apples", b"pears", b"plums"];

/// Two attempts at what fails: a classic queue tells the second from the first.
fn policy() -> Policy<impl Fn() -> Pin<Box<tokio::time::Sleep>> + Clone> {
    Policy::new(|| Box::pin(tokio::time::sleep(LIMIT))).attempts(2)
}

/// One ack, two of two attempts.
const DELIVERIES: usize = 5;

async fn on_the_queue(rig: &Rig) -> Tally {
    let destination = Destination::in_memory("orders").with_tracer_provider(rig.recorder.provider());
    let orders = destination.with_propagator(propagator());
    let (publisher, consumer) = queue::bounded(orders.clone(), 8);
    for body in BODIES {
        publisher.publish(body.to_vec()).await.unwrap();
    }
    drop(publisher);
    let handler = |message: Message<Vec<u8>>| handle(message.payload);
    timeout(LIMIT, orders.process_each(consumer, handler, policy())).await.unwrap()
}

async fn on_rabbitmq(rig: &Rig) -> Tally {
    let broker = Broker::new("same").await;
    let orders = rig.destination("rabbitmq", "orders");
    for body in BODIES {
        let mut properties = BasicProperties::default();
        let send = orders.send(&mut properties);
        send.run_async(|| broker.publish(properties, str::from_utf8(body).unwrap())).await.unwrap();
    }
    let consumer = broker.consume().await.take(DELIVERIES);
    let handler = |delivery: Delivery| handle(delivery.data);
    timeout(LIMIT, orders.try_process_each(consumer, handler, policy())).await.unwrap().unwrap()
}

/// The drawing. The queue remembers the span of the previous attempt and links to it; RabbitMQ has no place to keep it.
fn without_links_to_attempts(rig: &Rig) -> String {
    rig.drawing().replace("~> process orders, send orders", "~> send orders")
}

#[tokio::test]
async fn the_trees_are_the_same() {
    let (queue, rabbitmq) = (Rig::new(), Rig::new());
    assert_eq!(on_the_queue(&queue).await, on_rabbitmq(&rabbitmq).await);
    let drawing = without_links_to_attempts(&rabbitmq);
    assert_eq!(without_links_to_attempts(&queue), drawing);
    let failed = |error: &str| {
        format!(
            "send orders [producer]\n\
             ├─ process orders [consumer] ERROR: {error} ~> send orders\n\
             ├─ process orders [consumer] ERROR: {error} ~> send orders\n\
             ├─ reject orders [client] ~> send orders\n\
             └─ retry orders [client] ~> send orders"
        )
    };
    let fine = "send orders [producer]\n\
                ├─ ack orders [client] ~> send orders\n\
                └─ process orders [consumer] ~> send orders";
    assert_eq!(drawing, [fine, &failed("no pears"), &failed("panicked")].join("\n"));
}
