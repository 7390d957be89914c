//! What the queue costs.
//!
//! - One message through it, published and processed on one thread: the bare channel, ctxhop's queue without a tracer and with
//!   the SDK's, and two versions by hand with the SDK's: the short one, and one that gives the same as the queue.
//! - Producers that share a full queue with one consumer: the time of a message, and the longest wait of a publisher.
//! - A million messages that wait, and the drop of their last consumer.
//!
//! ```sh
//! cargo bench --bench queue
//! ```
//!
//! Before criterion's own figures come medians of ratios, of runs that alternate. Compare only what one run has measured.

mod by_hand;
mod measure;
mod twin;

use std::{
    hint::black_box,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use ctxhop::{
    messaging::Destination,
    propagation::TraceContextPropagator,
    queue::{self, Consumer, Publisher},
};
use futures::executor::block_on;
use measure::{Variant, compare};
use opentelemetry::trace::{TracerProvider, noop::NoopTracerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime;

fn orders() -> Destination {
    Destination::in_memory("orders").with_propagator(TraceContextPropagator::new())
}

fn round_trip(c: &mut Criterion) {
    let sdk = SdkTracerProvider::builder().build();
    let tracer = sdk.tracer("queue");
    let noop = queue::bounded(orders().with_tracer_provider(&NoopTracerProvider::new()), 1);
    let traced = queue::bounded(orders().with_tracer_provider(&sdk), 1);
    let same = twin::Queue::new(sdk.tracer("queue"), 1);
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
    let mut same = || {
        block_on(async {
            same.publish(black_box(7)).await;
            through_twin(&same).await;
        });
    };
    let mut noop = || block_on(through(&noop));
    let mut traced = || block_on(through(&traced));
    let mut variants: [Variant<'_>; 5] = [
        ("by hand, the same", &mut same),
        ("by hand, short", &mut hand),
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

async fn through_twin(queue: &twin::Queue<SdkTracer, i32>) {
    let mut delivery = queue.recv().await;
    let value = delivery.value();
    let handle = async {
        _ = black_box(value);
        Ok::<_, &str>(())
    };
    queue.process(&mut delivery, handle).await.unwrap();
    delivery.ack();
}

static RUNTIME: LazyLock<runtime::Runtime> =
    LazyLock::new(|| runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads to be had"));

const MESSAGES: usize = 4_096;
const CAPACITY: usize = 100;

/// The longest wait of a publisher, in nanoseconds.
type Longest = Arc<AtomicU64>;

fn produce<F>(count: usize, longest: &Longest, publish: impl Fn() -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    for _ in 0..count {
        let (publish, longest) = (publish.clone(), Arc::clone(longest));
        RUNTIME.spawn(async move {
            for _ in 0..MESSAGES / count {
                let start = Instant::now();
                publish().await;
                longest.fetch_max(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
        });
    }
}

fn producers(_: &mut Criterion) {
    let sdk = SdkTracerProvider::builder().build();
    for count in [1, 4, 16, 64] {
        let longest: [Longest; 3] = Default::default();
        let mut bare = || {
            let (tx, rx) = async_channel::bounded(CAPACITY);
            produce(count, &longest[0], move || {
                let tx = tx.clone();
                async move { tx.send(black_box(7)).await.expect("the receiver is here") }
            });
            block_on(async {
                while let Ok(value) = rx.recv().await {
                    black_box(value);
                }
            });
        };
        let mut same = || {
            let queue = Arc::new(twin::Queue::new(sdk.tracer("queue"), CAPACITY));
            let publishing = Arc::clone(&queue);
            produce(count, &longest[1], move || {
                let queue = Arc::clone(&publishing);
                async move { queue.publish(black_box(7)).await }
            });
            block_on(async {
                for _ in 0..MESSAGES {
                    through_twin(&queue).await;
                }
            });
        };
        let mut traced = || {
            let (publisher, consumer) = queue::bounded(orders().with_tracer_provider(&sdk), CAPACITY);
            produce(count, &longest[2], move || {
                let publisher = publisher.clone();
                async move { publisher.publish(black_box(7)).await.expect("the consumer is here") }
            });
            block_on(async {
                while let Some(mut delivery) = consumer.recv().await {
                    delivery.process().run_async(|| async { _ = black_box(delivery.payload) }).await;
                    delivery.ack();
                }
            });
        };
        let mut variants: [Variant<'_>; 3] =
            [("by hand, the same", &mut same), ("bare", &mut bare), ("ctxhop, SDK", &mut traced)];
        compare(&format!("{MESSAGES} messages of {count} producers"), 101, &mut variants);
        let [bare, same, traced] = longest.map(|longest| Duration::from_nanos(longest.load(Ordering::Relaxed)));
        println!("longest wait: bare {bare:.1?}, by hand {same:.1?}, ctxhop {traced:.1?}");
    }
}

fn backlog(_: &mut Criterion) {
    const BACKLOG: usize = 1_000_000;
    let sdk = SdkTracerProvider::builder().build();
    let without = orders().with_tracer_provider(&NoopTracerProvider::new());
    for (name, destination) in [("no tracer", without), ("SDK", orders().with_tracer_provider(&sdk))] {
        let (publisher, consumer) = queue::unbounded(destination);
        let start = Instant::now();
        (0..BACKLOG).for_each(|n| publisher.try_publish(n).expect("the consumer is here"));
        let published = start.elapsed();
        let start = Instant::now();
        drop(consumer);
        println!("a million messages, {name}: published in {published:.1?}, dropped in {:.1?}", start.elapsed());
    }
}

criterion_group!(benches, backlog, producers, round_trip);
criterion_main!(benches);
