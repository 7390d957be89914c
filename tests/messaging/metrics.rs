//! What is counted and measured, beyond the matrix of operations.

use std::time::{Duration, SystemTime};

use ctxhop::{carrier::Headers, messaging::Destination};

use crate::rig::{Rig, traced};

#[test]
fn messages_are_counted_once() {
    let rig = Rig::new();
    let batch = [traced(), Headers::new()];
    rig.orders.receive(&batch).run(|| {
        for message in &batch {
            rig.orders.process(message).after_receive().run(|| ());
        }
        rig.orders.process_batch(&batch).after_receive().run(|| ());
    });
    rig.orders.send(&mut Headers::new()).batch(5).run(|| ());
    let metrics = rig.metrics();
    let counted: Vec<_> = metrics.iter().map(|line| line.split_once('{').unwrap().0).collect();
    assert_eq!(
        counted,
        [
            "messaging.client.consumed.messages=2",
            "messaging.client.operation.duration=1",
            "messaging.client.operation.duration=1",
            "messaging.client.sent.messages=5",
            "messaging.process.duration=3",
        ]
    );
}

#[test]
fn an_operation_on_no_message_counts_none() {
    let rig = Rig::new();
    rig.orders.send(&mut Headers::new()).batch(0).run(|| ());
    let none: [Headers; 0] = [];
    rig.orders.receive(&none).run(|| ());
    // Sending has a duration, and receiving nothing has not even that.
    let metrics = rig.metrics();
    let [send] = &metrics[..] else { panic!("{metrics:?}") };
    assert!(send.starts_with("messaging.client.operation.duration=1{") && send.contains("operation.name=send"));
}

/// Some attributes are made once for all; what differs must not get them, nor they what differs.
#[test]
fn one_outcome_leaves_the_next_ones_attributes_alone() {
    let rig = Rig::new();
    let sends: [fn(Destination); 4] = [
        |orders| orders.send(&mut Headers::new()).run(|| ()),
        |orders| _ = orders.send(&mut Headers::new()).run(|| Err::<(), _>("no apples")),
        |orders| orders.send(&mut Headers::new()).partition("9").run(|| ()),
        |orders| orders.operation_name("publish").send(&mut Headers::new()).run(|| ()),
    ];
    for _ in 0..2 {
        for send in sends {
            send(rig.orders.clone());
        }
        rig.orders.clone().template("orders.{id}").send(&mut Headers::new()).run(|| ());
        rig.orders.process(&Headers::new()).run(|| ());
        _ = rig.orders.process(&Headers::new()).run(|| Err::<(), _>("no apples"));
        rig.orders.process(&Headers::new()).partition("9").run(|| ());
    }
    let metrics = rig.metrics();
    let of = |name: &str| metrics.iter().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>();
    assert_eq!(
        of("messaging.client.sent.messages=2"),
        [
            "{destination.name=orders destination.partition.id=9 operation.name=send system=rabbitmq}",
            "{destination.name=orders error.type=&str operation.name=send system=rabbitmq}",
            "{destination.name=orders operation.name=publish system=rabbitmq}",
            "{destination.name=orders operation.name=send system=rabbitmq}",
            "{destination.template=orders.{id} operation.name=send system=rabbitmq}",
        ]
    );
    assert_eq!(
        of("messaging.process.duration=2"),
        [
            "{destination.name=orders destination.partition.id=9 operation.name=process system=rabbitmq}",
            "{destination.name=orders error.type=&str operation.name=process system=rabbitmq}",
            "{destination.name=orders operation.name=process system=rabbitmq}",
        ]
    );
}

#[test]
fn the_duration_is_that_of_the_span() {
    let rig = Rig::new();
    let asked = SystemTime::now() - Duration::from_millis(1500);
    rig.orders.receive_with(asked, &[traced()], |_| []).run(|| ());
    let span = rig.span("receive orders");
    let duration = span.end_time.duration_since(span.start_time).unwrap().as_secs_f64();
    assert!(duration >= 1.5);
    assert_eq!(rig.durations(), [duration]);
}
