//! One message through a queue, published and processed on one thread: the bare channel, ctxhop's queue with no tracer
//! and with the SDK's, and what one writes by hand with the SDK's.
//!
//! ```sh
//! cargo bench --bench queue
//! ```
//!
//! Before criterion's own figures come the medians of the ratios, of runs that alternate. Compare only what one run has
//! measured.

mod by_hand;
mod measure;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ctxhop::{
    messaging::Destination,
    propagation::TraceContextPropagator,
    queue::{self, Consumer, Publisher},
};
use futures::executor::block_on;
use measure::{Variant, compare};
use opentelemetry::trace::{TracerProvider, noop::NoopTracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

fn round_trip(c: &mut Criterion) {
    let sdk = SdkTracerProvider::builder().build();
    let tracer = sdk.tracer("queue");
    let orders = Destination::in_memory("orders").with_propagator(TraceContextPropagator::new());
    let noop = queue::bounded(orders.clone().with_tracer_provider(&NoopTracerProvider::new()), 1);
    let traced = queue::bounded(orders.with_tracer_provider(&sdk), 1);
    let (bare_tx, bare_rx) = async_channel::bounded(1);
    let (hand_tx, hand_rx) = async_channel::bounded(1);

    let mut bare = || {
        block_on(async {
            bare_tx.send(black_box(7)).await.unwrap();
            _ = black_box(bare_rx.recv().await.unwrap());
        });
    };
    let mut hand = || {
        block_on(async {
            by_hand::publish(&tracer, &hand_tx, black_box(7)).await;
            by_hand::process(&tracer, &hand_rx, async |value| _ = black_box(value)).await;
        });
    };
    let mut noop = || block_on(through(&noop));
    let mut traced = || block_on(through(&traced));
    let mut variants: [Variant<'_>; 4] = [
        ("by hand, SDK", &mut hand),
        ("bare", &mut bare),
        ("ctxhop, no tracer", &mut noop),
        ("ctxhop, SDK", &mut traced),
    ];

    let mut hundred: Vec<_> =
        variants.iter_mut().map(|(name, run)| (*name, move || (0..100).for_each(|_| run()))).collect();
    let mut hundred: Vec<Variant<'_>> = hundred.iter_mut().map(|(name, run)| (*name, run as _)).collect();
    compare("a hundred messages", 1_001, &mut hundred);
    let mut group = c.benchmark_group("round trip");
    for (name, run) in variants {
        group.bench_function(name, |b| b.iter(&mut *run));
    }
    group.finish();
}

async fn through((publisher, consumer): &(Publisher<i32>, Consumer<i32>)) {
    publisher.publish(black_box(7)).await.unwrap();
    let mut delivery = consumer.recv().await.unwrap();
    delivery.process().run_async(|| async { _ = black_box(delivery.payload) }).await;
    delivery.ack();
}

criterion_group!(benches, round_trip);
criterion_main!(benches);
