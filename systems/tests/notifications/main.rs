//! The example `notifications` on real brokers: as one process, and as one for each of its parts.

#[path = "../support/mod.rs"]
mod support;

use std::process::Command;

use ctxhop_brokers::{free_port, kafka::Kafka, mosquitto::Mosquitto, nats::Nats, rabbitmq::RabbitMq, redis::Redis};
use ctxhop_systems::Collector;

use support::{LIMIT, Run, Running, export, program};

fn notifications(args: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_notifications"), args)
}

/// What the sample is, whatever carries it: 200 lines of which 3 are invalid, and 8 addresses that cannot be delivered to.
fn check_table(run: &Run) {
    let row =
        |name| run.stdout.lines().rev().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{run:#?}"));
    let cells: Vec<_> = row("total").split_whitespace().collect();
    assert_eq!(cells[..3], ["189", "8", "4.1%"], "{run:#?}");
}

/// All parts in one process, on this broker, whose system this is.
fn in_one_process(url: &str, system: &str) {
    let run = Run::of(&mut notifications(&["--broker", url]));
    assert!(run.succeeded(), "{run:#?}");
    check_table(&run);
    let unsettled = run.stdout.lines().find(|line| line.contains("─ ack ") && line.contains(" ERROR"));
    assert_eq!(unsettled, None, "{run:#?}");
    for line in [
        "1 trace".to_owned(),
        "[batch] → [worker] → [notify]".to_owned(),
        format!("batch ⇢ worker: {system} notifications ×205, 16 failed (8 %)"),
        "worker → notify: HTTP POST /notify ×205, 16 failed (8 %)".to_owned(),
        format!("worker ⇢ worker: {system} parked ×8"),
    ] {
        assert!(run.stdout.lines().any(|it| it == line), "no {line:?} in {}", run.stdout);
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
    let worker = Running::start(service("worker"), 1);
    let batch = Run::of(&mut service("batch"));
    assert!(batch.succeeded(), "{batch:#?}");
    assert_eq!(batch.stdout, "sent               197\ninvalid lines        3\n");

    // The settlement is the last span of each.
    let settled = |span: &&_| span_name(span).starts_with("ack ") || span_name(span) == "reject notifications";
    collector.wait_until(LIMIT, |spans| spans.of("worker").filter(settled).count() == 197 + 8);
    let worker = worker.stop();
    assert!(worker.succeeded(), "{worker:#?}");
    check_table(&worker);
    assert!(server.stop().succeeded());

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
