//! How the cost grows: with tasks, threads, values, baggage and producers.

use std::{
    collections::HashMap,
    convert::Infallible,
    hint::black_box,
    sync::{Arc, Barrier, LazyLock},
    thread,
};

use ctxhop::{
    carrier::{self, Headers},
    prelude::*,
    propagation::TraceContextPropagator,
    queue,
};
use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt},
    context as theirs,
    propagation::TextMapCompositePropagator,
};
use opentelemetry_sdk::propagation::BaggagePropagator;
use tokio::runtime;

use crate::{
    by_hand,
    competitors::{ORDERS, TRACER, request_context},
    measure::{Rounds, Spread, Variant, measure},
    twin,
};

/// How one thing grows: a row for each size, with nanoseconds for each way.
pub(crate) struct Growth {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rounds: usize,
    pub(crate) ways: Vec<&'static str>,
    pub(crate) rows: Vec<(usize, Vec<Spread>)>,
}

type Ways<'a> = Vec<(&'static str, Box<dyn FnMut() + 'a>)>;

impl Growth {
    /// `ways` gives what is to be measured at a size, and how many operations that is.
    fn new<'a>(
        what: &'static str,
        unit: &'static str,
        rounds: usize,
        sizes: &[usize],
        ways: impl Fn(usize) -> (usize, Ways<'a>),
    ) -> Self {
        let mut growth = Self { what, unit, rounds, ways: Vec::new(), rows: Vec::new() };
        for (at, &size) in (1..).zip(sizes) {
            eprintln!("{what}: {size} ({at} of {}), {rounds} rounds", sizes.len());
            let (operations, mut ways) = ways(size);
            let mut variants: Vec<Variant<'_>> =
                ways.iter_mut().map(|(name, run)| (*name, run.as_mut() as _)).collect();
            let times: Rounds = measure(rounds, &mut variants);
            let each = (0..ways.len()).map(|way| times.time(way).scaled(1.0 / operations as f64));
            growth.rows.push((size, each.collect()));
            growth.ways = ways.iter().map(|(name, _)| *name).collect();
        }
        growth
    }
}

pub(crate) fn all(rounds: usize) -> Vec<Growth> {
    vec![tasks(rounds), threads(rounds), values(rounds), baggage(rounds), producers(rounds)]
}

static RUNTIME: LazyLock<runtime::Runtime> =
    LazyLock::new(|| runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads to be had"));

fn tasks(rounds: usize) -> Growth {
    async fn body(n: usize) -> usize {
        tokio::task::yield_now().await;
        black_box(n)
    }
    fn all<F>(count: usize, repeats: usize, bind: impl Fn(usize) -> F)
    where
        F: Future<Output = usize> + Send + 'static,
    {
        let _guard = request_context().attach();
        for _ in 0..repeats {
            let tasks: Vec<_> = (0..count).map(|n| RUNTIME.spawn(bind(n))).collect();
            RUNTIME.block_on(async {
                for task in tasks {
                    black_box(task.await.expect("the work does not panic"));
                }
            });
        }
    }
    Growth::new(
        "concurrent tasks that share one parent, on two workers",
        "task",
        rounds,
        &[1, 10, 1_000, 100_000],
        |count| {
            let repeats = (1_000 / count).max(1);
            let ways: Ways<'_> = vec![
                ("bare", Box::new(move || all(count, repeats, body))),
                ("ctxhop", Box::new(move || all(count, repeats, |n| body(n).with_current_context()))),
                (
                    "ctxhop, `parent_only()` each",
                    Box::new(move || all(count, repeats, |n| body(n).with_context(Context::current().parent_only()))),
                ),
                (
                    "opentelemetry",
                    Box::new(move || all(count, repeats, |n| theirs::FutureExt::with_current_context(body(n)))),
                ),
            ];
            (count * repeats, ways)
        },
    )
}

fn threads(rounds: usize) -> Growth {
    const EACH: usize = 100_000;
    fn run(threads: usize, context: impl Fn() -> Context + Sync) {
        let start = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let cx = context();
                    start.wait();
                    for _ in 0..EACH {
                        cx.run(|| black_box(()));
                    }
                });
            }
        });
    }
    let cx = &request_context();
    Growth::new("threads that attach and detach all the time", "attach on each thread", rounds, &[1, 2], |threads| {
        let ways: Ways<'_> = vec![
            ("one context for all", Box::new(move || run(threads, || cx.clone()))),
            ("`parent_only()` each", Box::new(move || run(threads, || cx.parent_only()))),
            ("a context each", Box::new(move || run(threads, request_context))),
        ];
        (EACH, ways)
    })
}

/// A context can have one value of each type.
fn with_values(count: usize) -> Context {
    macro_rules! with_values {
        ($($n:literal)*) => {{
            struct Value<const N: usize>;
            // It has one already.
            let mut cx = request_context();
            $(if count > $n + 1 { cx = cx.with_value(Value::<$n>); })*
            cx
        }};
    }
    with_values!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38
        39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63)
}

fn values(rounds: usize) -> Growth {
    const EACH: usize = 10_000;
    Growth::new("values in the context", "operation", rounds, &[1, 4, 16, 64], |count| {
        let (attached, injected) = (with_values(count), with_values(count));
        let propagator = TraceContextPropagator::new();
        let ways: Ways<'_> = vec![
            ("attach", Box::new(move || (0..EACH).for_each(|_| attached.run(|| black_box(()))))),
            (
                "inject + extract",
                Box::new(move || {
                    (0..EACH).for_each(|_| {
                        let mut headers = Headers::new();
                        carrier::inject_with(&propagator, &injected, &mut headers);
                        black_box(carrier::extract_with(&propagator, &headers));
                    });
                }),
            ),
        ];
        (EACH, ways)
    })
}

fn baggage(rounds: usize) -> Growth {
    const EACH: usize = 200;
    let propagator = TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]);
    let propagator = &propagator;
    Growth::new("members of the baggage, of which the API keeps 64", "operation", rounds, &[1, 4, 16, 64], |count| {
        let members: Baggage =
            (0..count).map(|n| opentelemetry::KeyValue::new(format!("k{n}"), format!("v{n}"))).collect();
        assert_eq!(members.len(), count);
        let cx = request_context().with_baggage(members);
        let (attached, injected, naive) = (cx.clone(), cx.clone(), cx);
        let ways: Ways<'_> = vec![
            ("attach", Box::new(move || (0..EACH).for_each(|_| attached.run(|| black_box(()))))),
            (
                "inject + extract",
                Box::new(move || {
                    (0..EACH).for_each(|_| {
                        let mut headers = Headers::new();
                        carrier::inject_with(propagator, &injected, &mut headers);
                        black_box(carrier::extract_with(propagator, &headers));
                    });
                }),
            ),
            (
                "by hand: SDK, `HashMap`",
                Box::new(move || {
                    use opentelemetry::propagation::TextMapPropagator;
                    let sdk = opentelemetry_sdk::propagation::TraceContextPropagator::new();
                    let baggage = BaggagePropagator::new();
                    (0..EACH).for_each(|_| {
                        let mut headers = HashMap::<String, String>::new();
                        sdk.inject_context(&naive, &mut headers);
                        baggage.inject_context(&naive, &mut headers);
                        let cx = sdk.extract_with_context(&Context::new(), &headers);
                        black_box(baggage.extract_with_context(&cx, &headers));
                    });
                }),
            ),
        ];
        (EACH, ways)
    })
}

fn producers(rounds: usize) -> Growth {
    const MESSAGES: usize = 1_024;
    Growth::new(
        "producers of one queue with one consumer, on two workers",
        "message",
        rounds,
        &[1, 4, 16, 64],
        |count| {
            let each = MESSAGES / count;
            let bare = move || {
                let (tx, rx) = async_channel::bounded(100);
                for _ in 0..count {
                    let tx = tx.clone();
                    RUNTIME.spawn(async move {
                        for n in 0..each {
                            tx.send(n).await.expect("the receiver is here");
                        }
                    });
                }
                drop(tx);
                RUNTIME.block_on(async {
                    while let Ok(n) = rx.recv().await {
                        black_box(n);
                    }
                });
            };
            let hand = move || {
                let (tx, rx) = async_channel::bounded(100);
                for _ in 0..count {
                    let tx = tx.clone();
                    RUNTIME.spawn(async move {
                        for n in 0..each {
                            by_hand::publish(&*TRACER, &tx, n).await;
                        }
                    });
                }
                drop(tx);
                RUNTIME.block_on(async {
                    for _ in 0..each * count {
                        by_hand::process(&*TRACER, &rx, async |n| _ = black_box(n)).await;
                    }
                });
            };
            let same = move || {
                let queue = Arc::new(twin::Queue::new(TRACER.clone(), 100));
                for _ in 0..count {
                    let queue = Arc::clone(&queue);
                    RUNTIME.spawn(async move {
                        for n in 0..each {
                            queue.publish(n).await;
                        }
                    });
                }
                RUNTIME.block_on(async {
                    for _ in 0..each * count {
                        let mut delivery = queue.recv().await;
                        let n = delivery.value();
                        let handle = async { Ok::<_, Infallible>(black_box(n)) };
                        _ = queue.process(&mut delivery, handle).await;
                        delivery.ack();
                    }
                });
            };
            let ours = move || {
                let (publisher, consumer) = queue::bounded(ORDERS.clone(), 100);
                for _ in 0..count {
                    let publisher = publisher.clone();
                    RUNTIME.spawn(async move {
                        for n in 0..each {
                            publisher.publish(n).await.expect("the consumer is here");
                        }
                    });
                }
                drop(publisher);
                RUNTIME.block_on(async {
                    while let Some(mut delivery) = consumer.recv().await {
                        delivery.process().run_async(|| async { _ = black_box(delivery.payload) }).await;
                        delivery.ack();
                    }
                });
            };
            let ways: Ways<'_> = vec![
                ("bare", Box::new(bare)),
                ("by hand", Box::new(hand)),
                ("by hand, the same", Box::new(same)),
                ("ctxhop", Box::new(ours)),
            ];
            (MESSAGES, ways)
        },
    )
}
