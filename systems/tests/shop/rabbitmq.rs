//! With RabbitMQ between checkout and stock, and each service as a process of its own.

use std::{collections::HashSet, thread};

use ctxhop_brokers::rabbitmq::RabbitMq;
use ctxhop_systems::Spans;
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;

use crate::{
    Shop, shop,
    support::{LIMIT, Run},
};

/// A shop with an exchange and a queue of its own.
fn shop_on_rabbitmq(exchange: &str) -> Shop {
    Shop::new(&["--broker", &RabbitMq::shared().uri(), "--exchange", exchange])
}

#[test]
fn one_process_on_a_broker_is_one_trace_for_each_checkout() {
    let run = Run::of(&mut shop(&["--broker", &RabbitMq::shared().uri()]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    assert_eq!(run.accepted().len(), 7, "{run:#?}");
    assert!(run.stdout.contains("\n8 traces; drawn above: all 8\n"), "{run:#?}");
    for line in [
        "publish shop:checkout.processed @checkout [producer] ",
        "process shop:checkout.processed:shop.stock @stock [consumer] ERROR: the pears had to be counted first ~> publish ",
        "retry shop:checkout.processed:shop.stock @stock [client] ~> publish shop:checkout.processed ",
        "ack shop:checkout.processed:shop.stock @stock [client] ~> publish shop:checkout.processed ",
    ] {
        assert!(run.stdout.contains(line), "no {line:?} in {}", run.stdout);
    }
}

#[test]
fn each_checkout_is_one_trace_through_all_processes() {
    let shop = shop_on_rabbitmq("apart");
    let services = ["checkout", "gateway", "stock"].map(|service| shop.start(service));
    let run = Run::of(&mut shop.command("shopper", &["--orders", "20"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    assert_eq!(run.accepted().len(), 18, "{run:#?}");
    let acked = |spans: &Spans| spans.count("stock", "ack apart:checkout.processed:apart.stock") == 18;
    shop.collector.wait_until(LIMIT, acked);
    for service in services {
        assert!(service.stop().succeeded());
    }
    let spans = shop.collector.spans();
    for root in spans.tree().assert_traces(20) {
        assert_eq!(root.name(), "buy");
    }
    assert_eq!(spans.tree().services().to_string(), "[shopper] → [gateway] → [checkout] ⇢ [stock]");
    // Five orders had pears.
    assert_eq!(spans.count("stock", "process apart:checkout.processed:apart.stock"), 18 + 5);
}

#[test]
fn a_stock_that_is_killed_loses_nothing() {
    const ORDERS: usize = 400;
    let shop = shop_on_rabbitmq("killed");
    let services = ["checkout", "gateway"].map(|service| shop.start(service));
    let killed = shop.start("stock");
    let mut shopper = shop.command("shopper", &["--orders", &ORDERS.to_string()]);
    let shopping = thread::spawn(move || Run::of(&mut shopper));
    let mut handled: HashSet<_> = (0..50).map(|_| killed.line()).collect();
    handled.extend(killed.kill());

    let run = shopping.join().unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    let mut missing: HashSet<_> = run.accepted().into_iter().map(|order| format!("{order} is handled")).collect();
    assert_eq!(missing.len(), ORDERS - ORDERS / 8);
    missing.retain(|line| !handled.contains(line));
    assert!(!missing.is_empty(), "it was killed half-way");

    let restarted = shop.start("stock");
    while !missing.is_empty() {
        missing.remove(&restarted.line());
    }
    for service in services.into_iter().chain([restarted]) {
        assert!(service.stop().succeeded());
    }
    // What the killed process had not exported is gone, but the traces are whole: nothing has an ancestor that is missing.
    for root in shop.collector.spans().tree().assert_traces(ORDERS) {
        assert_eq!(root.name(), "buy");
    }
}

#[test]
fn orders_that_the_queue_has_no_room_for_are_refused_until_the_stock_is_back() {
    let shop = Shop::new(&["--broker", &RabbitMq::shared().uri(), "--exchange", "full", "--queue-limit", "20"]);
    let services = ["checkout", "gateway"].map(|service| shop.start(service));
    let shopping = |orders: &str| {
        let run = Run::of(&mut shop.command("shopper", &["--orders", orders]));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
        run
    };
    // The limit of a queue is not exact, but it holds.
    let refused = shopping("60");
    let full: Vec<_> = refused.answers().into_iter().filter(|(_, status, ..)| *status == 503).collect();
    assert!(full.len() >= 20, "{refused:#?}");
    for (_, _, trace, body) in full {
        assert_eq!((trace.len(), body), (32, r#"{"error":"the stock has too many orders to handle"}"#));
    }

    let stock = shop.start("stock");
    let accepted: HashSet<_> = refused.accepted().into_iter().map(|order| format!("{order} is handled")).collect();
    assert_eq!((0..accepted.len()).map(|_| stock.line()).collect::<HashSet<_>>(), accepted);
    assert_eq!(shopping("1").accepted(), ["order-1"]);
    for service in services.into_iter().chain([stock]) {
        assert!(service.stop().succeeded());
    }
    let failed = |span: &&SpanData| matches!(&span.status, Status::Error { .. }) && span.name.starts_with("publish ");
    assert!(shop.collector.spans().of("checkout").filter(failed).count() >= 20);
}
