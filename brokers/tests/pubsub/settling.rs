//! The consumer loop on Pub/Sub: what it settles, and what the trace says of it.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ctxhop::{carrier::Carrier, messaging::Policy};
use ctxhop_brokers::rig::attribute;
use futures::{StreamExt, future::pending};
use google_cloud_pubsub::model::Message;
use opentelemetry::{Value, trace::Status};
use tokio::{sync::Notify, time::timeout};

use crate::{
    LIMIT,
    shop::{Shop, apples, no_apples},
};

#[tokio::test]
async fn a_message_is_sent_processed_and_settled_in_one_trace() {
    let shop = Shop::new().await;
    shop.send(apples().set_ordering_key("customer 17")).await;
    let handler = async |message: Message| {
        assert_eq!(&*message.data, b"two apples");
        Ok(())
    };
    assert_eq!(shop.handle(1, None, handler).await.acked, 1);
    assert_eq!(
        shop.rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         └─ process orders [consumer] ~> send orders"
    );
    let (send, process, ack) =
        (shop.rig.spans("send orders"), shop.rig.spans("process orders"), shop.rig.spans("ack orders"));
    let id = attribute(&send[0], "messaging.message.id").expect("the id that Pub/Sub gives");
    for (key, value) in [
        ("messaging.message.id", id),
        ("messaging.system", Value::from("gcp_pubsub")),
        ("messaging.destination.subscription.name", Value::from("billing")),
        ("messaging.gcp_pubsub.message.delivery_attempt", Value::from(1)),
        ("messaging.gcp_pubsub.message.ordering_key", Value::from("customer 17")),
        ("messaging.message.body.size", Value::from(10)),
    ] {
        assert_eq!(attribute(&process[0], key), Some(value), "{key}");
    }
    assert_eq!(attribute(&ack[0], "messaging.destination.subscription.name"), Some(Value::from("billing")));
    shop.rig.assert_no_attribute_twice();
}

#[tokio::test]
async fn a_message_is_delivered_again_with_its_attempt() {
    let shop = Shop::new().await;
    shop.send(apples()).await;
    let handled = AtomicUsize::new(0);
    let handler = async |_| if handled.fetch_add(1, Ordering::Relaxed) < 2 { Err(no_apples()) } else { Ok(()) };
    let tally = shop.handle(3, None, handler).await;
    assert_eq!((tally.retried, tally.acked), (2, 1));
    let attempt = |span| attribute(span, "messaging.gcp_pubsub.message.delivery_attempt");
    let attempts: Vec<_> = shop.rig.spans("process orders").iter().map(attempt).collect();
    assert_eq!(attempts, [1, 2, 3].map(|attempt| Some(Value::from(attempt))));
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_rejected_message_is_a_dead_letter_of_the_same_trace() {
    let shop = Shop::new().await;
    let sent = apples().set_attributes([("color", "red")]).set_ordering_key("customer 17");
    shop.send(sent).await;
    let dead = shop.pubsub.publisher("orders.dead").await;
    let tally = shop.handle(3, Some(&dead), async |_| Err(no_apples())).await;
    assert_eq!((tally.retried, tally.rejected), (2, 1));

    let letter = shop.next("undertaker").await;
    assert_eq!((&*letter.data, letter.attributes["color"].as_str()), (&b"two apples"[..], "red"));
    assert_eq!(letter.ordering_key, "customer 17");
    shop.rig.destination("gcp_pubsub", "orders.dead").process(&letter).run(|| ());
    shop.rig.tree().assert_single_trace();
    assert_eq!(shop.rig.spans("reject orders")[0].status, Status::Unset);
}

#[tokio::test]
async fn without_dead_letters_of_ours_pubsub_puts_a_rejected_message_aside() {
    let shop = Shop::new().await;
    shop.send(apples()).await;
    let tally = shop.handle(5, None, async |_| Err(no_apples())).await;
    assert_eq!((tally.retried, tally.rejected), (2, 3));
    // The sixth delivery is to the dead letters, and takes a consumer to ask for it.
    let (mut messages, letter) = (shop.pubsub.messages("billing").await, shop.next("undertaker"));
    let letter = tokio::select! {
        letter = letter => letter,
        message = messages.next() => panic!("it is delivered a sixth time: {message:?}"),
    };
    assert!(letter.get_all("traceparent").next().is_some());
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_published_leaves_the_message_unsettled() {
    let shop = Shop::new().await;
    shop.send(apples().set_ordering_key("customer 17")).await;
    let nowhere = shop.pubsub.publisher("nowhere").await;
    let tally = shop.handle(4, Some(&nowhere), async |_| Err(no_apples())).await;
    assert_eq!((tally.retried, tally.rejected, tally.unsettled), (2, 0, 2));
    for reject in shop.rig.spans("reject orders") {
        let Status::Error { description } = reject.status else { panic!("it has failed") };
        assert!(description.starts_with("the dead letter is not published: "), "{description}");
        assert!(!description.contains("paused"), "the second try asks the server again: {description}");
    }
    assert_eq!(shop.handle(1, None, async |_| Ok(())).await.acked, 1);
}

#[tokio::test]
async fn a_handler_that_panics_has_its_message_again() {
    let shop = Shop::new().await;
    shop.send(apples()).await;
    let handled = AtomicUsize::new(0);
    let handler = async |_| {
        assert!(handled.fetch_add(1, Ordering::Relaxed) > 0, "no apples");
        Ok(())
    };
    let tally = shop.handle(2, None, handler).await;
    assert_eq!((tally.panicked, tally.retried, tally.acked), (1, 1, 1));
    assert_eq!(shop.rig.spans("process orders")[0].status, Status::error("panicked"));
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_cancelled_loop_leaves_its_message_to_others() {
    let shop = Shop::new().await;
    shop.send(apples()).await;
    let begun = Arc::new(Notify::new());
    let stuck = shop.handle(1, None, async |_| {
        begun.notify_one();
        pending().await
    });
    tokio::select! {
        _ = stuck => panic!("the handler never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(shop.rig.spans("process orders")[0].status, Status::error("cancelled"));
    assert_eq!(shop.handle(1, None, async |_| Ok(())).await.acked, 1);
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn the_loop_ends_when_its_stream_is_shut_down() {
    let shop = Shop::new().await;
    shop.send(apples()).await;
    let messages = shop.pubsub.messages("billing").await;
    let token = messages.shutdown_token();
    let (orders, begun, go_on) = (shop.orders.clone(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let each = tokio::spawn(async move {
        let handler = async |_| {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, io::Error>(())
        };
        let deliveries = ctxhop::clients::google_cloud_pubsub_1::deliveries(messages);
        orders.try_process_each(deliveries, handler, Policy::within(LIMIT)).await
    });
    begun.notified().await;
    let shutdown = tokio::spawn(async move { token.shutdown().await });
    go_on.notify_one();
    assert_eq!(timeout(LIMIT, each).await.expect("a loop that ends").unwrap().unwrap().acked, 1);
    timeout(LIMIT, shutdown).await.expect("a client that ends").unwrap();
}

#[tokio::test]
async fn with_exactly_once_delivery_a_settlement_is_confirmed() {
    let shop = Shop::with("orders/billing?once=1").await;
    shop.send(apples()).await;
    let handled = AtomicUsize::new(0);
    let handler = async |_| if handled.fetch_add(1, Ordering::Relaxed) == 0 { Err(no_apples()) } else { Ok(()) };
    let tally = shop.handle(2, None, handler).await;
    assert_eq!((tally.retried, tally.acked), (1, 1));
    let mut messages = Box::pin(shop.deliveries("billing").await);
    shop.send(apples()).await;
    let mut delivery = timeout(LIMIT, messages.next()).await.unwrap().unwrap().unwrap();
    let (_, handler) = {
        let _ = ctxhop::messaging::Delivered::message(&mut delivery);
        delivery.into_parts()
    };
    assert!(matches!(handler, google_cloud_pubsub::subscriber::handler::Handler::ExactlyOnce(_)));
}

/// The server is gone before the settlement, and only who waits for it can tell.
#[tokio::test]
async fn with_exactly_once_delivery_what_nobody_confirms_is_unsettled() {
    for (subscription, settled) in [("orders/billing?once=1", (0, 1)), ("orders/billing", (1, 0))] {
        let shop = Shop::with(subscription).await;
        shop.send(apples()).await;
        let deliveries = shop.deliveries("billing").await.take(1);
        let Shop { rig, pubsub, publisher, orders } = shop;
        let server = Mutex::new(Some(pubsub));
        let gone = async |_| {
            drop(server.lock().unwrap().take());
            Ok::<_, io::Error>(())
        };
        let each = orders.try_process_each(deliveries, gone, Policy::within(Duration::from_secs(1)));
        let tally = timeout(LIMIT, each).await.expect("a loop that ends").unwrap();
        assert_eq!((tally.acked, tally.unsettled), settled, "{subscription}");
        rig.tree().assert_single_trace();
        drop(publisher);
    }
}

/// By Google's own calls, for a handler that takes many messages at once.
#[tokio::test]
async fn a_batch_is_processed_with_links() {
    let shop = Shop::new().await;
    shop.send(apples()).await;
    shop.send(apples()).await;
    let mut messages = shop.pubsub.messages("billing").await;
    let (mut batch, mut handlers) = (Vec::new(), Vec::new());
    while batch.len() < 2 {
        let (message, handler) = timeout(LIMIT, messages.next()).await.unwrap().unwrap().unwrap();
        batch.push(message);
        handlers.push(handler);
    }
    shop.orders.process_batch(&batch).run(|| ());
    let settle = shop.orders.settle_batch(ctxhop::messaging::Settlement::Ack, &batch);
    settle.run(|| handlers.into_iter().for_each(|handler| handler.ack()));
    assert_eq!(
        shop.rig.drawing(),
        "ack orders [client] ~> send orders ×2\n\
         process orders [consumer] ~> send orders ×2\n\
         send orders [producer]\n\
         send orders [producer]"
    );
}
