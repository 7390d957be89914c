//! What a hop takes in memory: the size of what is handed over, and the heap behind it. It is exact, and fails if a hop of
//! ours takes a block of memory that the hand-written one does not.
//!
//! ```sh
//! cargo bench --bench memory
//! ```

#[path = "by_hand/mod.rs"]
mod by_hand;

use std::{hint::black_box, mem::size_of_val};

use allocation_counter::measure;
use ctxhop::{messaging::Destination, prelude::*, propagation::TraceContextPropagator, queue};
use futures::executor::block_on;
use opentelemetry::{
    Context, context as theirs,
    trace::{TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::{runtime, sync::mpsc};

/// So many that what a channel allocates by the block is shared out.
const COUNT: usize = 31 * 32 * 10;

struct Row {
    hop: &'static str,
    whose: &'static str,
    /// Of the future or message itself.
    size: usize,
    blocks: f64,
    bytes: f64,
}

impl Row {
    fn new<T>(hop: &'static str, whose: &'static str, size: usize, make: impl FnOnce() -> T) -> Self {
        let mut made = None;
        let heap = measure(|| made = Some(make()));
        drop(made);
        let share = |sum: i64| sum as f64 / COUNT as f64;
        Self { hop, whose, size, blocks: share(heap.count_current), bytes: share(heap.bytes_current) }
    }
}

fn main() {
    let provider = SdkTracerProvider::builder().build();
    let tracer = provider.tracer("memory");
    let _guard = Context::new().with_value(7).with_span(tracer.start("request")).attach();
    let mut rows = tasks();
    rows.extend(messages());
    rows.extend(queued(&provider));

    println!("| | | size of it | heap, bytes | heap, blocks |\n|---|---|---:|---:|---:|");
    for Row { hop, whose, size, blocks, bytes } in &rows {
        println!("| {hop} | {whose} | {size} | {bytes:.0} | {blocks:.2} |");
    }
    for ours in rows.iter().filter(|row| row.whose == "ctxhop") {
        let hand = rows.iter().find(|row| row.hop == ours.hop && row.whose == "by hand").expect("each has one by hand");
        assert!(ours.blocks <= hand.blocks, "{}: {} blocks, by hand {}", ours.hop, ours.blocks, hand.blocks);
    }
}

async fn body() -> u64 {
    tokio::task::yield_now().await;
    black_box(7)
}

fn tasks() -> Vec<Row> {
    fn row<F>(whose: &'static str, future: fn() -> F) -> Row
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        let mut tasks = Vec::with_capacity(COUNT);
        // What the runtime keeps its tasks in grows with the first ones.
        (0..COUNT).for_each(|_| drop(runtime.spawn(future())));
        runtime.block_on(tokio::task::yield_now());
        Row::new("a task", whose, size_of_val(&future()), || {
            tasks.extend((0..COUNT).map(|_| runtime.spawn(future())));
            runtime
        })
    }
    vec![
        row("bare", body),
        row("by hand", || {
            let cx = Context::current();
            async move {
                let mut work = std::pin::pin!(body());
                std::future::poll_fn(|task| {
                    let _guard = cx.clone().attach();
                    work.as_mut().poll(task)
                })
                .await
            }
        }),
        row("ctxhop", || body().with_current_context()),
        row("opentelemetry", || theirs::FutureExt::with_current_context(body())),
    ]
}

fn messages() -> Vec<Row> {
    fn row<T>(whose: &'static str, message: fn() -> T) -> Row {
        Row::new("a message in tokio's `mpsc`", whose, size_of_val(&message()), || {
            let (tx, rx) = mpsc::unbounded_channel();
            (0..COUNT).for_each(|_| tx.send(message()).expect("the receiver is here"));
            (tx, rx)
        })
    }
    vec![
        row("bare", || 7_u64),
        row("by hand", || (7_u64, Context::current())),
        row("ctxhop", || 7_u64.with_current_context()),
    ]
}

/// With the headers that a propagator has written.
fn queued(provider: &SdkTracerProvider) -> Vec<Row> {
    const HOP: &str = "a message in the queue";
    let tracer = provider.tracer("memory");
    let orders =
        Destination::in_memory("orders").with_tracer_provider(provider).with_propagator(TraceContextPropagator::new());
    // The first one looks up the instruments.
    drop(orders.send(&mut queue::Message::new(7_u64)));
    vec![
        Row::new(HOP, "bare", size_of::<u64>(), || {
            let (tx, rx) = async_channel::unbounded();
            (0..COUNT).for_each(|_| tx.try_send(7_u64).expect("the receiver is here"));
            (tx, rx)
        }),
        Row::new(HOP, "by hand", size_of::<(by_hand::Headers, u64)>(), || {
            let (tx, rx) = async_channel::unbounded();
            (0..COUNT).for_each(|_| block_on(by_hand::publish(&tracer, &tx, 7_u64)));
            (tx, rx)
        }),
        Row::new(HOP, "ctxhop", size_of::<queue::Message<u64>>(), || {
            let (publisher, consumer) = queue::unbounded(orders);
            (0..COUNT).for_each(|_| publisher.try_publish(7_u64).expect("the consumer is here"));
            (publisher, consumer)
        }),
    ]
}
