//! What is counted and measured, beyond the matrix of operations.

use std::time::{Duration, SystemTime};

use ctxhop::carrier::Headers;

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
fn the_duration_is_that_of_the_span() {
    let rig = Rig::new();
    let asked = SystemTime::now() - Duration::from_millis(1500);
    rig.orders.receive_with(asked, &[traced()], |_| []).run(|| ());
    let span = rig.span("receive orders");
    let duration = span.end_time.duration_since(span.start_time).unwrap().as_secs_f64();
    assert!(duration >= 1.5);
    assert_eq!(rig.durations(), [duration]);
}
