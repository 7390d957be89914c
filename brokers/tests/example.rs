//! The example on each broker: one handler and one policy make the same trees of them all.

#[expect(dead_code, reason = "this is the example's main")]
#[path = "../examples/brokers.rs"]
mod brokers;

use std::time::Duration;

use brokers::Shop;
use ctxhop_brokers::{
    kafka::Kafka, mosquitto::Mosquitto, nats::Nats, pubsub::PubSub, rabbitmq::RabbitMq, redis::Redis,
};
use tokio::time::timeout;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

const TREES: &str = "\
send ctxhop-orders [producer]
├─ ack ctxhop-orders [client] ~> send ctxhop-orders
├─ process ctxhop-orders [consumer] ERROR: no pears yet ~> send ctxhop-orders
├─ process ctxhop-orders [consumer] ~> send ctxhop-orders
└─ retry ctxhop-orders [client] ~> send ctxhop-orders
send ctxhop-orders [producer]
├─ ack ctxhop-orders [client] ~> send ctxhop-orders
└─ process ctxhop-orders [consumer] ~> send ctxhop-orders
send ctxhop-orders [producer]
├─ process ctxhop-orders [consumer] ERROR: what is that? ~> send ctxhop-orders
└─ reject ctxhop-orders [client] ~> send ctxhop-orders";

async fn check(broker: Option<&str>) {
    let shop = Shop::default();
    let tally = timeout(LIMIT, shop.run(broker)).await.expect("an example that ends").unwrap();
    assert_eq!((tally.acked, tally.retried, tally.rejected, tally.unsettled), (2, 1, 1, 0));
    // Those whose retries stay in this process know the previous attempt.
    let drawing = shop.recorder.tree().display().durations(false).to_string();
    assert_eq!(drawing.replace("~> process ctxhop-orders, ", "~> "), TREES);
}

/// The second time, the broker has all that the first has made: queues, groups, what nobody has settled.
async fn check_twice(broker: &str) {
    check(Some(broker)).await;
    check(Some(broker)).await;
}

#[tokio::test]
async fn in_memory() {
    check(None).await;
}

#[tokio::test]
async fn amqp() {
    check_twice(&RabbitMq::shared().uri()).await;
}

#[tokio::test]
async fn kafka() {
    let kafka = Kafka::new();
    check_twice(&format!("kafka://{}", kafka.bootstrap_servers())).await;
}

#[tokio::test]
async fn nats() {
    let nats = Nats::start();
    check_twice(&nats.url()).await;
}

#[tokio::test]
async fn mqtt() {
    let mosquitto = Mosquitto::start();
    check_twice(&format!("mqtt://127.0.0.1:{}", mosquitto.port())).await;
}

#[tokio::test]
async fn redis() {
    let redis = Redis::start();
    check_twice(&redis.url()).await;
}

#[tokio::test]
async fn pubsub() {
    let pubsub = PubSub::start(&["ctxhop-orders/ctxhop-billing", "ctxhop-dead/ctxhop-undertaker"]);
    check_twice(&format!("pubsub://{}", pubsub.address())).await;
}

#[tokio::test]
async fn an_argument_that_names_no_broker() {
    let error = Shop::default().run(Some("carrier-pigeon://tower")).await.unwrap_err();
    assert_eq!(error.to_string(), "no broker is known by carrier-pigeon://tower");
}
