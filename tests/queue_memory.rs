//! What queued messages take in memory, and what a message allocates on its way. In a binary of its own because it counts
//! allocations.

use allocation_counter::{AllocationInfo, measure};
use ctxhop::{
    messaging::{BaggagePolicy, Destination},
    propagation::TraceContextPropagator,
    queue::{self, Consumer, Message, Publisher},
};
use futures::executor::block_on;
use opentelemetry::trace::noop::NoopTracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

const MESSAGES: u64 = 100_000;

fn orders() -> Destination {
    Destination::in_memory("orders").with_propagator(TraceContextPropagator::new())
}

fn unrecorded() -> Destination {
    orders().with_tracer_provider(&NoopTracerProvider::new())
}

fn recorded(sampler: Sampler) -> Destination {
    orders().with_tracer_provider(&SdkTracerProvider::builder().with_sampler(sampler).build())
}

fn backlog(destination: Destination) -> (Publisher<u64>, Consumer<u64>) {
    let (publisher, consumer) = queue::unbounded(destination);
    // The first message has the instruments looked up, and gives the list its first room.
    publisher.try_publish(0).unwrap();
    consumer.try_recv().unwrap().ack();
    (publisher, consumer)
}

fn fill((publisher, _): &(Publisher<u64>, Consumer<u64>)) -> AllocationInfo {
    measure(|| (0..MESSAGES).for_each(|n| publisher.try_publish(n).unwrap()))
}

fn per_message(bytes: i64) -> u64 {
    bytes as u64 / MESSAGES
}

/// For each of many messages, one after another.
fn allocations<F: Future<Output = ()>>(mut of: impl FnMut(u64) -> F) -> f64 {
    const ROUNDS: u64 = 1_000;
    // The first message has the instruments looked up, and makes room for itself.
    block_on(of(0));
    let mut heap = 0;
    for n in 1..=ROUNDS {
        let message = of(n);
        heap += measure(|| block_on(message)).count_total;
    }
    heap as f64 / ROUNDS as f64
}

/// What is left are the spans, the headers and the operations, which a broker's client has too: `RATIONALE.md` lists them.
#[test]
fn the_queue_itself_allocates_nothing_for_a_message() {
    for (name, destination, most) in [
        ("no SDK", unrecorded(), 0.0),
        ("not sampled", recorded(Sampler::AlwaysOff), 9.0),
        ("sampled", recorded(Sampler::AlwaysOn), 11.0),
    ] {
        let (publisher, consumer) = &queue::bounded(destination.clone(), 10);
        let through = allocations(|n| async move {
            publisher.publish(n).await.unwrap();
            let mut delivery = consumer.recv().await.unwrap();
            delivery.process().run_async(|| async { assert_eq!(delivery.payload, n) }).await;
            delivery.ack();
        });
        let destination = &destination;
        let beside = allocations(|n| async move {
            let mut message = Message::new(n);
            destination.send(&mut message).run_async(|| async {}).await;
            let operation = destination.process(&message).delivery_count(1).attribute("ctxhop.time_in_queue", 0.0);
            operation.run_async(|| async { assert_eq!(message.payload, n) }).await;
        });
        assert!(through <= beside + 0.1, "{name}: {through}, and {beside} without the queue");
        assert!(through <= most + 0.1, "{name}: {through}");
    }
}

#[test]
fn what_is_the_same_for_each_message_is_made_once() {
    let process = |destination: Destination| {
        let destination = &destination.with_tracer_provider(&SdkTracerProvider::builder().build());
        allocations(|_| async move {
            destination.process(&Message::new(0)).delivery_count(1).run_async(|| async {}).await;
        })
    };
    let known = process(orders());
    let renamed = process(orders().operation_name("handle"));
    assert!(known < renamed, "what a span says of its action: {known}, and {renamed} by another name");
    let wary = process(orders().baggage(BaggagePolicy::allow(["tenant"])));
    assert!(wary <= known, "a message without baggage: {known}, and {wary} under a policy");
}

#[test]
fn a_publish_has_room_for_its_message_once() {
    const SIZE: usize = 10_000;
    let (publisher, _consumer) = queue::unbounded(unrecorded());
    let size = size_of_val(&publisher.publish([0_u8; SIZE]));
    assert!(size < SIZE + 400, "{size}");
}

#[test]
fn a_message_takes_little_more_than_itself() {
    let queue = backlog(unrecorded());
    let bytes = per_message(fill(&queue).bytes_current);
    assert!(bytes <= 90, "{bytes} bytes a message without headers");
    let queue = backlog(recorded(Sampler::AlwaysOn));
    let bytes = per_message(fill(&queue).bytes_current);
    assert!(bytes <= 195, "{bytes} bytes a message with a context");
}

#[test]
fn a_backlog_leaves_no_memory_behind() {
    let queue = backlog(unrecorded());
    let filled = fill(&queue);
    let drained = measure(|| (0..MESSAGES).for_each(|_| queue.1.try_recv().unwrap().ack()));
    let left = filled.bytes_current + drained.bytes_current;
    assert!(left < 128 << 10, "{left} bytes");
    assert!(drained.count_total < 20, "it is given back in few steps: {drained:?}");
    // While a few messages come and go, the list stays as it is.
    let few = measure(|| {
        for n in 0..1_000 {
            queue.0.try_publish(n).unwrap();
            queue.1.try_recv().unwrap().ack();
        }
    });
    let more = measure(|| (0..1_000).for_each(|n| queue.0.try_publish(n).unwrap()));
    assert!(few.count_total <= more.count_total, "{few:?}, {more:?}");
}

/// It collects nothing: a destructor is no place to run out of memory.
#[test]
fn dropping_the_last_consumer_takes_no_memory() {
    for destination in [unrecorded(), recorded(Sampler::AlwaysOn)] {
        let queue = backlog(destination);
        fill(&queue);
        let (publisher, consumer) = queue;
        let heap = measure(|| drop(consumer));
        assert!(heap.bytes_max < 64 << 10, "{heap:?}");
        assert!(publisher.is_empty());
    }
}
