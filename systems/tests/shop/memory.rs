//! With a queue in memory: all services in one process, or all but the stock.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
};

use ctxhop_systems::Collector;
use opentelemetry::trace::TraceId;

use crate::{
    Shop, shop,
    support::{LIMIT, Run},
};

#[test]
fn each_checkout_is_one_trace_through_all_services() {
    let run = Run::of(&mut shop(&[]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    let answers = run.answers();
    assert_eq!(
        answers.iter().map(|(_, status, ..)| *status).collect::<Vec<_>>(),
        [202, 202, 202, 202, 202, 202, 202, 422]
    );
    assert!(answers[7].3.contains("kiwi"), "{run:#?}");
    assert!(run.stdout.contains("\n8 orders: 7 accepted, 1 refused, 0 unanswered\n"), "{run:#?}");
    assert!(run.stdout.contains("\n8 traces; drawn above: all 8\n"), "{run:#?}");
    for line in [
        "[shopper] → [gateway] → [checkout] ⇢ [stock]\n",
        "shopper → gateway: HTTP POST /api/checkout ×8, 1 failed (12 %)\n",
        "gateway → checkout: gRPC shop.Checkout/Process ×8, 1 failed (12 %)\n",
        "checkout ⇢ stock: in_memory checkout.processed ×9, 2 failed (22 %)\n",
        "buy ×5 @shopper ",
        "POST @shopper [client] ",
        "POST /api/checkout @gateway [server] ",
        "shop.Checkout/Process @gateway [client] ",
        "shop.Checkout/Process @checkout [server] ",
        "send checkout.processed @checkout [producer] ",
        "process checkout.processed @stock [consumer] ERROR: the pears had to be counted first ~> send checkout.processed ",
        "process checkout.processed @stock [consumer] ~> process checkout.processed, send checkout.processed ",
        "ack checkout.processed @stock [client] ~> send checkout.processed ",
    ] {
        assert!(run.stdout.contains(line), "no {line:?} in {}", run.stdout);
    }
}

#[test]
fn all_services_export() {
    let collector = Collector::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let run = Run::of(shop(&["--orders", "3"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    let spans = collector.spans();
    // The second order has two attempts.
    for (service, count) in [("shopper", 3 * 2), ("gateway", 3 * 2), ("checkout", 3 * 2), ("stock", 3 * 2 + 2)] {
        assert_eq!(spans.of(service).count(), count, "{service}: {}", spans.tree());
    }
    spans.tree().assert_traces(3);
    let response = spans.of("checkout").flat_map(|span| span.events.iter()).filter(|event| event.name == "response");
    assert_eq!(response.count(), 3);
}

#[test]
fn more_orders_than_are_kept_are_all_handled() {
    let run = Run::of(&mut shop(&["--orders", "300", "--keep", "10"]));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    assert_eq!(run.accepted().len(), 300 - 300 / 8);
    assert!(run.stdout.contains("\n300 traces; drawn above: the first 10\n"), "{run:#?}");
}

#[test]
fn orders_that_the_queue_has_no_room_for_are_refused() {
    let all_but_the_stock = ["--service", "shopper,gateway,checkout", "--queue-limit", "3", "--orders", "6"];
    let run = Run::of(&mut shop(&all_but_the_stock));
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(run.accepted().len(), 3, "{run:#?}");
    assert!(run.stderr.starts_with("shop: warning: no stock can take the orders"), "{run:#?}");
    for (_, status, trace, body) in run.answers().into_iter().filter(|(_, status, ..)| *status != 202) {
        assert_eq!((status, body), (503, r#"{"error":"the stock has too many orders to handle"}"#));
        assert_eq!(trace.len(), 32, "{run:#?}");
    }
}

#[test]
fn what_is_no_order_is_refused_with_its_trace_id() {
    let shop = Shop::new(&[]);
    let gateway = shop.start("gateway,checkout");
    // RabbitMQ's message ids are short, and what is printed is one line.
    let long = format!("{{\"id\":\"{}\",\"items\":[{{\"sku\":\"apple\",\"quantity\":1}}]}}", "x".repeat(256));
    let lines = r#"{"id":"a\nb is handled","items":[{"sku":"apple","quantity":1}]}"#;
    for (path, body, status) in [
        ("/api/checkout", long.as_str(), "422 Unprocessable Entity"),
        ("/api/checkout", lines, "422 Unprocessable Entity"),
        ("/api/checkout", "{\"id\":", "400 Bad Request"),
        ("/api/checkout", "{\"id\":7}", "422 Unprocessable Entity"),
        ("/api/checkout", "{\"id\":\"empty\",\"items\":[]}", "422 Unprocessable Entity"),
        ("/api/refund", "{}", "404 Not Found"),
    ] {
        let mut connection = TcpStream::connect(shop.gateway()).unwrap();
        let length = body.len();
        let head = "Host: shop\r\nContent-Type: application/json\r\nConnection: close";
        write!(connection, "POST {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();

        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let trace = answer.lines().find_map(|line| line.strip_prefix("x-trace-id: ")).expect("a trace id");
        let trace = TraceId::from_hex(trace).unwrap();
        let is_there = |spans: &[_]| spans.contains(&trace);
        shop.collector.wait_until(LIMIT, |spans| {
            is_there(&spans.of("gateway").map(|span| span.span_context.trace_id()).collect::<Vec<_>>())
        });
    }
    assert!(gateway.stop().succeeded());
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nobody = format!("amqp://guest:secret@127.0.0.1:{}", ctxhop_brokers::free_port());
    for (args, reason) in [
        (&["--broker", &nobody][..], "no broker at 127.0.0.1:"),
        (&["--broker", "pigeon://roof"], "the broker has to be amqp://…, and not pigeon://…"),
        (&["--broker", "amqps://guest:secret@h"], "the broker has to be amqp://…, and not amqps://…"),
        (&["--broker", "guest:secret@h"], "the broker has to be amqp://…"),
        (&["--broker", "amqp://guest:secret@:x"], "the broker's address is wrong"),
        (&["--service", "stock"], "a stock in another process than the checkout needs a --broker"),
        (&["--gateway", &taken], "the gateway cannot listen on 127.0.0.1:"),
    ] {
        let run = Run::of(&mut shop(args));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.starts_with(&format!("shop: {reason}")), "{run:#?}");
        assert!(!run.stderr.contains("secret"), "no password goes into a log: {run:#?}");
    }
    let unknown = Run::of(&mut shop(&["--service", "cellar"]));
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(unknown.stderr.contains("gateway, checkout, stock, shopper"), "{unknown:#?}");
}

#[test]
fn a_gateway_that_is_gone_leaves_the_orders_unanswered() {
    let shop = Shop::new(&[]);
    let run = Run::of(&mut shop.command("shopper", &["--orders", "2"]));
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(run.stdout.contains("\n2 orders: 0 accepted, 0 refused, 2 unanswered\n"), "{run:#?}");
    assert_eq!(run.stderr, "shop: 2 orders have no answer\n");
}

#[test]
fn a_checkout_that_is_gone_is_a_refusal_with_a_trace_id() {
    let shop = Shop::new(&[]);
    let _gateway = shop.start("gateway");
    let run = Run::of(&mut shop.command("shopper", &["--orders", "2"]));
    assert_eq!(run.code, Some(0), "{run:#?}");
    for (_, status, trace, _) in run.answers() {
        assert_eq!((status, trace.len()), (503, 32), "{run:#?}");
    }
}

#[test]
fn the_page_shows_all_services() {
    let file = std::env::temp_dir().join(format!("ctxhop-shop-{}.html", std::process::id()));
    let run = Run::of(&mut shop(&["--html", file.to_str().unwrap()]));
    let page = std::fs::read_to_string(&file).unwrap();
    let again = Run::of(&mut shop(&["--html", file.to_str().unwrap()]));
    assert_eq!((again.code, again.stdout.as_str()), (Some(2), ""), "nothing is overwritten: {again:#?}");
    std::fs::remove_file(&file).unwrap();
    assert!(run.succeeded(), "{run:#?}");
    assert!(run.stdout.ends_with(&format!("\nopen {} in a browser\n", file.display())), "{run:#?}");
    for service in ["shopper", "gateway", "checkout", "stock"] {
        // Its row in the table of services.
        assert!(page.contains(&format!("<summary><bdi>{service}</bdi></summary>")), "{service}");
    }

    let nowhere = Run::of(&mut shop(&["--html", "/no/such/folder/page.html"]));
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (Some(2), ""), "{nowhere:#?}");
    assert!(nowhere.stderr.starts_with("shop: cannot create /no/such/folder/page.html: "), "{nowhere:#?}");
}

#[test]
fn an_order_that_was_accepted_is_handled_when_the_shop_is_told_to_stop() {
    let shop = Shop::new(&["--queue-limit", "10000"]);
    let running = shop.start("gateway,checkout,stock");
    let mut shopper = shop.command("shopper", &["--orders", "2000"]);
    let shopping = thread::spawn(move || Run::of(&mut shopper));
    let mut handled: HashSet<_> = (0..50).map(|_| running.line()).collect();
    let stopped = running.stop();
    assert_eq!((stopped.code, stopped.stderr.as_str()), (Some(0), ""), "{stopped:#?}");
    handled.extend(stopped.stdout.lines().map(str::to_owned));

    let run = shopping.join().unwrap();
    let accepted =
        run.stdout.lines().filter_map(|line| line.split_once(' ')).filter(|(_, rest)| rest.trim().starts_with("202 "));
    let mut accepted: HashSet<_> = accepted.map(|(order, _)| format!("{order} is handled")).collect();
    assert!((50..1750).contains(&accepted.len()), "it was told half-way: {run:#?}");
    accepted.retain(|line| !handled.contains(line));
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn half_a_request_does_not_keep_the_shop_from_its_end() {
    let shop = Shop::new(&[]);
    let running = shop.start("gateway,checkout,stock");
    let mut connection = TcpStream::connect(shop.gateway()).unwrap();
    let head = "Host: shop\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 100";
    write!(connection, "POST /api/checkout HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    // The gateway has the head when it asks for the rest.
    connection.read_exact(&mut [0; 12]).unwrap();
    let stopped = running.stop();
    assert_eq!(stopped.code, Some(0), "{stopped:#?}");
    assert_eq!(stopped.stderr, "shop: the gateway has left requests that were not done within 15s\n");
}

#[test]
fn the_collector_takes_large_batches() {
    let collector = Collector::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let mut connection = TcpStream::connect(collector.endpoint().strip_prefix("http://").unwrap()).unwrap();
    // A field that nobody knows, with a length of 3 MiB.
    let body = [&[0x7a, 0x80, 0x80, 0xc0, 0x01][..], &vec![0; 3 << 20]].concat();
    let length = body.len();
    write!(connection, "POST /v1/traces HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
        .unwrap();
    connection.write_all(&body).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// By `script`, of util-linux, which gives it a terminal.
#[test]
fn long_input_shows_a_bar_on_a_terminal() {
    let command = format!("{} --orders 50", env!("CARGO_BIN_EXE_shop"));
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let screen = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{screen}");
    assert!(screen.contains("\u{1b}[") && screen.contains("/50"), "{screen}");
}
