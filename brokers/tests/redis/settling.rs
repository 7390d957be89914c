//! The consumer loop on Redis: what it settles, and what the trace says of it.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use ctxhop::{
    clients::redis_1::Group,
    messaging::{Policy, Settlement},
};
use ctxhop_brokers::rig::attribute;
use futures::{StreamExt, future::pending};
use opentelemetry::{Value, trace::Status};
use redis::{
    AsyncTypedCommands, RedisResult,
    streams::{StreamId, StreamReadOptions},
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    LIMIT,
    shop::{Shop, no_apples},
};

#[tokio::test]
async fn an_entry_is_sent_processed_and_settled_in_one_trace() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let handler = async |entry: StreamId| {
        assert_eq!(entry.get::<String>("body").unwrap(), "two apples");
        assert_eq!(entry.delivered_count, Some(1));
        Ok(())
    };
    assert_eq!(shop.handle(1, 1, handler).await.acked, 1);
    assert_eq!(shop.pending().await, 0);
    assert_eq!(
        shop.rig.drawing(),
        "send orders [producer]\n\
         ├─ ack orders [client] ~> send orders\n\
         └─ process orders [consumer] ~> send orders"
    );
    let (send, process, ack) =
        (shop.rig.spans("send orders"), shop.rig.spans("process orders"), shop.rig.spans("ack orders"));
    let id = attribute(&send[0], "messaging.message.id").expect("the id that Redis gives");
    for (key, value) in [
        ("messaging.message.id", id),
        ("messaging.system", Value::from("redis")),
        ("messaging.consumer.group.name", Value::from("billing")),
        ("ctxhop.delivery_count", Value::from(1)),
    ] {
        assert_eq!(attribute(&process[0], key), Some(value), "{key}");
    }
    // The names and values of `body` and `traceparent`.
    assert_eq!(attribute(&process[0], "messaging.message.envelope.size"), Some(Value::from(4 + 10 + 11 + 55)));
    assert_eq!(attribute(&ack[0], "messaging.consumer.group.name"), Some(Value::from("billing")));
    shop.rig.assert_no_attribute_twice();
}

#[tokio::test]
async fn an_entry_is_delivered_again_and_then_a_dead_letter_of_the_same_trace() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let tally = shop.handle(3, 3, async |_| Err(no_apples())).await;
    assert_eq!((tally.retried, tally.rejected), (2, 1));
    let count = |span| attribute(span, "ctxhop.delivery_count");
    let counts: Vec<_> = shop.rig.spans("process orders").iter().map(count).collect();
    assert_eq!(counts, [1, 2, 3].map(|count| Some(Value::from(count))));
    assert_eq!((shop.pending().await, shop.dead().await), (0, 1));

    let connection = shop.redis.with_group("orders.dead", "undertaker").await;
    let dead = Group::new("orders.dead", "undertaker").entries("worker-1", shop.redis.connect().await, connection);
    let handler = async |entry: StreamId| {
        assert_eq!(entry.get::<String>("body").unwrap(), "two apples");
        Ok::<_, io::Error>(())
    };
    let orders = shop.rig.destination("redis", "orders.dead");
    let each = orders.try_process_each(dead.take(1), handler, Policy::within(LIMIT));
    assert_eq!(timeout(LIMIT, each).await.unwrap().unwrap().acked, 1);
    let failed = "├─ process orders [consumer] ERROR: no apples ~> send orders\n";
    assert_eq!(
        shop.rig.drawing(),
        [
            "send orders [producer]\n├─ ack orders.dead [client] ~> send orders\n",
            failed,
            failed,
            failed,
            "├─ process orders.dead [consumer] ~> send orders\n\
             ├─ reject orders [client] ~> send orders\n\
             ├─ retry orders [client] ~> send orders\n\
             └─ retry orders [client] ~> send orders"
        ]
        .concat()
    );
}

#[tokio::test]
async fn without_dead_letters_a_rejected_entry_is_done_with() {
    let mut shop = Shop::new().await;
    shop.group = Group::new("orders", "billing");
    shop.send("two apples").await;
    assert_eq!(shop.handle(1, 1, async |_| Err(no_apples())).await.rejected, 1);
    assert_eq!((shop.pending().await, shop.dead().await), (0, 0));
    assert_eq!(shop.connection.xlen("orders").await.unwrap(), 1, "the stream keeps it");
}

#[tokio::test]
async fn a_handler_that_panics_has_its_entry_again() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let handler = async |entry: StreamId| {
        assert!(entry.delivered_count > Some(1), "no apples");
        Ok(())
    };
    let tally = shop.handle(2, 3, handler).await;
    assert_eq!((tally.panicked, tally.retried, tally.acked), (1, 1, 1));
    assert_eq!(shop.rig.spans("process orders")[0].status, Status::error("panicked"));
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn a_cancelled_loop_leaves_its_entry_to_others() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let begun = Arc::new(Notify::new());
    let stuck = shop.handle(1, 1, async |_| {
        begun.notify_one();
        pending().await
    });
    tokio::select! {
        _ = stuck => unreachable!("the handler never ends"),
        () = begun.notified() => {}
    }
    assert_eq!(shop.rig.spans("process orders")[0].status, Status::error("cancelled"));
    assert_eq!(shop.handle(1, 3, async |_| Ok(())).await.acked, 1);
    shop.rig.tree().assert_single_trace();
}

#[tokio::test]
async fn the_loop_can_be_spawned_and_works_on_many_at_once() {
    let shop = Shop::new().await;
    for _ in 0..40 {
        shop.send("two apples").await;
    }
    let (orders, entries) = (shop.orders.clone(), shop.entries("worker-1").await.take(40));
    let policy = Policy::within(LIMIT).at_once(16);
    let each =
        tokio::spawn(async move { orders.try_process_each(entries, async |_| Ok::<_, io::Error>(()), policy).await });
    assert_eq!(timeout(LIMIT, each).await.unwrap().unwrap().unwrap().acked, 40);
    assert_eq!(shop.rig.tree().roots().len(), 40);
}

/// By redis' own calls, for a handler that takes many entries at once.
#[tokio::test]
async fn a_batch_is_sent_processed_and_settled_with_links() {
    let mut shop = Shop::new().await;
    let mut batch = ["apples", "pears"].map(|body| vec![("body".to_owned(), body.as_bytes().to_vec())]);
    for fields in &mut batch {
        shop.orders.create(fields).run(|| ());
    }
    let send = async |connection: &mut _| -> RedisResult<Vec<String>> {
        let mut pipe = redis::pipe();
        for fields in &batch {
            pipe.xadd("orders", "*", fields);
        }
        pipe.query_async(connection).await
    };
    let operation = shop.orders.send_batch(&mut batch.clone());
    operation.run_async(|| send(&mut shop.connection)).await.unwrap();

    let options = StreamReadOptions::default().group("billing", "worker-1");
    let read = shop.connection.xread_options(&["orders"], &[">"], &options).await.unwrap().expect("two entries");
    let entries = &read.keys[0].ids;
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_str()).collect();
    shop.orders.process_batch(entries).run(|| ());
    let ack = shop.orders.settle_batch(Settlement::Ack, entries);
    assert_eq!(ack.run_async(|| shop.connection.xack("orders", "billing", &ids)).await.unwrap(), 2);
    assert_eq!(
        shop.rig.drawing(),
        "ack orders [client] ~> create orders ×2\n\
         create orders [producer]\n\
         create orders [producer]\n\
         process orders [consumer] ~> create orders ×2\n\
         send orders [client] ~> create orders ×2"
    );
}

#[tokio::test]
async fn a_settlement_that_redis_refuses_is_a_failure() {
    let shop = Shop::new().await;
    shop.send("two apples").await;
    let by_hand = async |entry: StreamId| {
        let acknowledged = shop.connection.clone().xack("orders", "billing", &[entry.id]).await;
        assert_eq!(acknowledged.unwrap(), 1);
        Ok(())
    };
    let tally = shop.handle(1, 3, by_hand).await;
    assert_eq!((tally.acked, tally.unsettled), (0, 1));
    assert_eq!(shop.rig.spans("ack orders")[0].status, Status::error("the entry is not pending any more"));
}

#[tokio::test]
async fn a_group_that_claims_nothing_delivers_what_is_new() {
    let mut shop = Shop::new().await;
    shop.group = shop.group.claim_after(Duration::MAX).batch(0);
    shop.send("two apples").await;
    assert_eq!(shop.handle(1, 1, async |_| Ok(())).await.acked, 1);
}

#[tokio::test]
async fn a_group_that_claims_at_once_delivers_what_is_new() {
    let mut shop = Shop::new().await;
    shop.group = shop.group.claim_after(Duration::ZERO);
    shop.send("two apples").await;
    assert_eq!(shop.handle(1, 1, async |_| Ok(())).await.acked, 1);
}

/// A sweep finds them again as soon as the one before has ended.
#[tokio::test]
async fn entries_that_always_fail_hold_up_no_new_one() {
    let mut shop = Shop::new().await;
    shop.group = Group::new("orders", "billing").batch(1);
    for _ in 0..3 {
        shop.send("apples").await;
        drop(shop.next("worker-2").await);
    }
    shop.send("pears").await;
    shop.group = shop.group.claim_after(Duration::ZERO);
    let bodies = Mutex::new(Vec::new());
    let handler = async |entry: StreamId| {
        bodies.lock().unwrap().push(entry.get::<String>("body").unwrap());
        Err(no_apples())
    };
    assert_eq!(shop.handle(2, u64::MAX, handler).await.retried, 2);
    assert_eq!(*bodies.lock().unwrap(), ["apples", "pears"]);
}

/// As where a group has been made anew.
#[tokio::test]
async fn a_group_that_is_gone_is_an_error() {
    let mut shop = Shop::new().await;
    shop.connection.xgroup_destroy("orders", "billing").await.unwrap();
    let entries = shop.entries("worker-1").await;
    let each = shop.orders.try_process_each(entries, async |_| Ok::<_, io::Error>(()), Policy::within(LIMIT));
    let error = timeout(LIMIT, each).await.expect("a loop that ends").unwrap_err();
    assert_eq!(error.error.code(), Some("NOGROUP"));
}

#[tokio::test]
async fn nothing_is_added_where_there_is_no_stream() {
    use ctxhop::clients::redis_1::added;
    use redis::streams::StreamAddOptions;
    let mut shop = Shop::new().await;
    let mut fields = vec![("body".to_owned(), "two apples".to_owned())];
    let send = shop.orders.send(&mut fields).on_ok(added);
    let options = StreamAddOptions::default().nomkstream();
    send.run_async(|| shop.connection.xadd_options("nowhere", "*", &*fields, &options)).await.unwrap();
    let send = &shop.rig.spans("send orders")[0];
    assert_eq!(send.status, Status::error("there is no such stream"));
    assert_eq!(attribute(send, "error.type"), Some(Value::from("not_added")));
}

#[tokio::test]
async fn an_entry_that_was_read_without_a_group_is_processed_by_hand() {
    let mut shop = Shop::new().await;
    shop.send("two apples").await;
    let range = shop.connection.xrange_all("orders").await.unwrap();
    for entry in &range.ids {
        shop.orders.process(entry).run(|| ());
    }
    assert_eq!(shop.rig.drawing(), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
}
