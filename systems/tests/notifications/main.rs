//! The example `notifications` on real brokers: as one process, and as one for each of its parts.

#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use ctxhop_brokers::{free_port, kafka::Kafka, mosquitto::Mosquitto, nats::Nats, rabbitmq::RabbitMq, redis::Redis};
use ctxhop_systems::Collector;

use support::{LIMIT, Run, Running, export, program};

fn notifications(args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_notifications"), args)
}

/// What the sample is, whatever carries it: 200 lines of which 3 are invalid, and 8 addresses that cannot be delivered to. A broker
/// may deliver more than once, and then it is more.
fn check_table(run: &Run) {
    let row =
        |name| run.stdout.lines().rev().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{run:#?}"));
    let cells: Vec<_> = row("total").split_whitespace().collect();
    let [delivered, failed] = [0, 1].map(|column: usize| cells[column].parse::<u32>().unwrap());
    assert!(delivered >= 189 && failed >= 8, "{run:#?}");
}

/// All parts in one process, on this broker, whose system this is.
fn in_one_process(url: &str, system: &str) {
    let run = Run::of(&mut notifications(&["--broker", url]));
    assert!(run.succeeded(), "{run:#?}");
    check_table(&run);
    let unsettled = run.stdout.lines().find(|line| line.contains("─ ack ") && line.contains(" ERROR"));
    assert_eq!(unsettled, None, "{run:#?}");
    for line in ["1 trace".to_owned(), "[batch] → [worker] → [notify]".to_owned()] {
        assert!(run.stdout.lines().any(|it| it == line), "no {line:?} in {}", run.stdout);
    }
    for (call, least) in [
        (format!("batch ⇢ worker: {system} notifications ×"), 205),
        ("worker → notify: HTTP POST /notify ×".to_owned(), 205),
        (format!("worker ⇢ worker: {system} parked ×"), 8),
    ] {
        let count =
            run.stdout.lines().find_map(|line| line.strip_prefix(&call)?.split(',').next()?.parse::<u32>().ok());
        assert!(count.is_some_and(|count| count >= least), "no {call:?} {least} in {}", run.stdout);
    }
}

/// Each part as a process of its own, on this broker.
fn in_three_processes(url: &str) {
    let collector = Collector::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let notify = format!("127.0.0.1:{}", free_port());
    let service = |service: &str| {
        let mut command = notifications(&["--service", service, "--broker", url, "--notify", &notify]);
        export(&mut command, &collector);
        command
    };
    let server = Running::start(service("notify"), 1);
    let receipts = std::env::temp_dir().join(format!("ctxhop-receipts-{}.jsonl", free_port()));
    let mut worker = service("worker");
    worker.arg("--out").arg(&receipts);
    let worker = Running::start(worker, 1);
    let batch = Run::of(&mut service("batch"));
    assert!(batch.succeeded(), "{batch:#?}");
    assert_eq!(batch.stdout, "sent               197\ninvalid lines        3\n");

    // The settlement is the last span of each.
    let settled = |span: &&_| span_name(span).starts_with("ack ") || span_name(span) == "reject notifications";
    collector.wait_until(LIMIT, |spans| spans.of("worker").filter(settled).count() >= 197 + 8);
    let worker = worker.stop();
    assert!(worker.succeeded(), "{worker:#?}");
    check_table(&worker);
    assert!(server.stop().succeeded());
    let outcomes = std::fs::read_to_string(&receipts).unwrap();
    std::fs::remove_file(&receipts).unwrap();
    assert_eq!(outcomes.lines().collect::<HashSet<_>>().len(), 197, "each has an outcome, and only one: {outcomes}");

    let tree = collector.spans().tree();
    assert_eq!(tree.assert_single_trace().name(), "batch");
    assert_eq!(tree.services().to_string(), "[batch] ⇢ [worker] → [notify]\n[worker] ⇢ [worker]");
}

fn span_name(span: &opentelemetry_sdk::trace::SpanData) -> &str {
    &span.name
}

#[test]
fn rabbitmq() {
    let url = RabbitMq::shared().uri();
    in_one_process(&url, "rabbitmq");
    in_three_processes(&url);
}

#[test]
fn nats() {
    let nats = Nats::start();
    in_one_process(&nats.url(), "nats");
    in_three_processes(&nats.url());
}

#[test]
fn kafka() {
    let kafka = Kafka::new();
    let url = format!("kafka://{}", kafka.bootstrap_servers());
    in_one_process(&url, "kafka");
    in_three_processes(&url);
}

#[test]
fn redis() {
    let redis = Redis::start();
    in_one_process(&redis.url(), "redis");
    in_three_processes(&redis.url());
}

#[test]
fn mqtt() {
    let mosquitto = Mosquitto::start();
    let url = format!("mqtt://127.0.0.1:{}", mosquitto.port());
    in_one_process(&url, "mqtt");
    in_three_processes(&url);
}

#[test]
fn a_broker_that_cannot_be_reached_is_one_line_and_exit_code_2() {
    for scheme in ["amqp", "kafka", "mqtt", "nats", "redis"] {
        let url = format!("{scheme}://127.0.0.1:{}", free_port());
        let run = Run::of(&mut notifications(&["--broker", &url]));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:#?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
        assert!(run.stderr.starts_with("notifications: no broker at 127.0.0.1:"), "{run:#?}");
    }
}

#[test]
fn half_a_request_does_not_keep_the_server_from_its_end() {
    let address = format!("127.0.0.1:{}", free_port());
    let server = Running::start(notifications(&["--service", "notify", "--notify", &address]), 1);
    let mut connection = TcpStream::connect(&address).unwrap();
    let head = "POST /notify HTTP/1.1\r\nHost: notify\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    // The server has the head when it asks for the rest.
    connection.read_exact(&mut [0; 12]).unwrap();
    let stopped = server.stop();
    assert_eq!(stopped.code, Some(0), "{stopped:#?}");
    assert_eq!(stopped.stderr, "notifications: notify: 1 connections are not done within 5s\n");
}
