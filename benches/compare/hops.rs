//! Every hop, by each competitor that has a way to make it. All do the same work.

use std::{
    convert::Infallible,
    future,
    hint::black_box,
    pin::{Pin, pin},
    sync::LazyLock,
    task::{self, Waker},
    thread,
};

use ctxhop::{
    WithContext,
    carrier::{self, Headers},
    prelude::*,
    propagation::TraceContextPropagator,
    queue,
};
use fastrace::{collector::SpanContext as FastraceContext, future::FutureExt as _};
use opentelemetry::{Context, context as theirs, propagation::TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator as SdkPropagator;
use rayon::prelude::*;
use tokio::{
    runtime,
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use tracing::Instrument;

use crate::by_hand;

use super::competitors::{
    Competitor::{
        self, Bare, ByHand, Ctxhop, Dcontext, Fastrace, OpenTelemetry, TaskLocal, Tracing, TracingOpenTelemetry,
    },
    ORDERS, Pairs, REQUEST, TRACER,
};

/// A hop, and how each competitor makes `count` of them.
pub(crate) struct Hop {
    pub(crate) name: &'static str,
    /// What is the same for all.
    pub(crate) body: &'static str,
    /// Enough for the clock, and so few that most runs are over before the machine turns to something else.
    pub(crate) count: u32,
    pub(crate) cells: Vec<(Competitor, fn(u32))>,
}

pub(crate) fn all() -> Vec<Hop> {
    vec![poll(), spawn(), blocking(), threads(), channel(), parallel_map(), headers(), messages()]
}

fn poll() -> Hop {
    fn polls(count: u32, future: impl Future<Output = ()>) {
        let mut future = pin!(future);
        for _ in 0..count {
            _ = black_box(poll_once(future.as_mut()));
        }
    }
    fn poll_once<F: Future>(future: Pin<&mut F>) -> task::Poll<F::Output> {
        black_box(future).poll(&mut task::Context::from_waker(Waker::noop()))
    }
    async fn body() {
        loop {
            future::pending::<()>().await;
        }
    }
    Hop {
        name: "poll",
        body: "one poll of a future that goes on",
        count: 5_000,
        cells: vec![
            (Bare, |count| polls(count, body())),
            (ByHand, |count| polls(count, attached_by_hand(body()))),
            (Ctxhop, |count| polls(count, body().with_current_context())),
            (OpenTelemetry, |count| polls(count, theirs::FutureExt::with_current_context(body()))),
            (Tracing, |count| polls(count, body().in_current_span())),
            (TracingOpenTelemetry, |count| polls(count, body().in_current_span())),
            (Fastrace, |count| polls(count, body().in_span(fastrace::Span::enter_with_local_parent("hop")))),
            (Dcontext, |count| polls(count, dcontext::ContextFutureExt::fork(body()))),
            (TaskLocal, |count| polls(count, REQUEST.scope(REQUEST.get(), body()))),
        ],
    }
}

/// As one would write it: captured at the call, attached for each poll, and never across an `.await`.
fn attached_by_hand<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let cx = Context::current();
    async move {
        let mut work = pin!(work);
        future::poll_fn(|task| {
            let _guard = cx.clone().attach();
            work.as_mut().poll(task)
        })
        .await
    }
}

/// What tasks, jobs, threads and handlers do.
fn work(n: u32) -> u64 {
    u64::from(black_box(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

fn block_on(hops: impl Future<Output = ()>) {
    /// On this thread: the floor is low, and nobody waits for another thread.
    static RUNTIME: LazyLock<runtime::Runtime> =
        LazyLock::new(|| runtime::Builder::new_current_thread().build().expect("no drivers, nothing to fail"));
    RUNTIME.block_on(hops);
}

fn spawn() -> Hop {
    async fn body(n: u32) -> u64 {
        tokio::task::yield_now().await;
        work(n)
    }
    fn each<F: Future<Output = u64>>(count: u32, spawn: impl Fn(u32) -> F) {
        block_on(async {
            for n in 0..count {
                black_box(spawn(n).await);
            }
        });
    }
    fn traced(count: u32) {
        each(count, |n| joined(tokio::spawn(body(n).in_current_span())));
    }
    Hop {
        name: "spawn + join",
        body: "one tokio task that yields once, and the wait for it, on the current-thread runtime",
        count: 200,
        cells: vec![
            (Bare, |count| each(count, |n| joined(tokio::spawn(body(n))))),
            (ByHand, |count| each(count, |n| joined(tokio::spawn(attached_by_hand(body(n)))))),
            (Ctxhop, |count| each(count, |n| joined(ctxhop::tokio::spawn(body(n))))),
            (OpenTelemetry, |count| {
                each(count, |n| joined(tokio::spawn(theirs::FutureExt::with_current_context(body(n)))));
            }),
            (Tracing, traced),
            (TracingOpenTelemetry, traced),
            (Fastrace, |count| {
                let span = || fastrace::Span::enter_with_local_parent("hop");
                each(count, |n| joined(tokio::spawn(body(n).in_span(span()))));
            }),
            (Dcontext, |count| each(count, |n| joined(tokio::spawn(dcontext::ContextFutureExt::fork(body(n)))))),
            (TaskLocal, |count| each(count, |n| joined(tokio::spawn(REQUEST.scope(REQUEST.get(), body(n)))))),
        ],
    }
}

async fn joined<T>(task: JoinHandle<T>) -> T {
    task.await.expect("the work does not panic")
}

fn blocking() -> Hop {
    fn each(count: u32, spawn: impl Fn(u32) -> JoinHandle<u64>) {
        block_on(async {
            for job in (0..count).map(spawn).collect::<Vec<_>>() {
                black_box(joined(job).await);
            }
        });
    }
    fn traced(count: u32) {
        each(count, |n| {
            let span = tracing::Span::current();
            spawn_blocking(move || span.in_scope(|| work(n)))
        });
    }
    Hop {
        name: "blocking spawn",
        body: "one job of a hundred that are given to tokio's blocking pool, and then waited for",
        count: 100,
        cells: vec![
            (Bare, |count| each(count, |n| spawn_blocking(move || work(n)))),
            (ByHand, |count| {
                each(count, |n| {
                    let cx = Context::current();
                    spawn_blocking(move || {
                        let _guard = cx.attach();
                        work(n)
                    })
                });
            }),
            (Ctxhop, |count| each(count, |n| ctxhop::tokio::spawn_blocking(move || work(n)))),
            (Tracing, traced),
            (TracingOpenTelemetry, traced),
            (Fastrace, |count| {
                each(count, |n| {
                    let span = fastrace::Span::enter_with_local_parent("hop");
                    spawn_blocking(move || {
                        let _guard = span.set_local_parent();
                        work(n)
                    })
                });
            }),
            (Dcontext, |count| {
                each(count, |n| {
                    let store = dcontext::fork();
                    spawn_blocking(move || {
                        let _guard = dcontext::attach_store(store);
                        work(n)
                    })
                });
            }),
            (TaskLocal, |count| {
                each(count, |n| {
                    let request = REQUEST.get();
                    spawn_blocking(move || REQUEST.sync_scope(request, || work(n)))
                });
            }),
        ],
    }
}

fn threads() -> Hop {
    fn each(count: u32, spawn: impl Fn(u32) -> thread::JoinHandle<u64>) {
        for n in 0..count {
            black_box(spawn(n).join().expect("the work does not panic"));
        }
    }
    fn traced(count: u32) {
        each(count, |n| {
            let span = tracing::Span::current();
            thread::spawn(move || span.in_scope(|| work(n)))
        });
    }
    Hop {
        name: "thread",
        body: "one thread, and the wait for it",
        count: 5,
        cells: vec![
            (Bare, |count| each(count, |n| thread::spawn(move || work(n)))),
            (ByHand, |count| {
                each(count, |n| {
                    let cx = Context::current();
                    thread::spawn(move || {
                        let _guard = cx.attach();
                        work(n)
                    })
                });
            }),
            (Ctxhop, |count| each(count, |n| ctxhop::thread::spawn(move || work(n)))),
            (Tracing, traced),
            (TracingOpenTelemetry, traced),
            (Fastrace, |count| {
                each(count, |n| {
                    let span = fastrace::Span::enter_with_local_parent("hop");
                    thread::spawn(move || {
                        let _guard = span.set_local_parent();
                        work(n)
                    })
                });
            }),
            (Dcontext, |count| {
                each(count, |n| {
                    let store = dcontext::fork();
                    thread::spawn(move || {
                        let _guard = dcontext::attach_store(store);
                        work(n)
                    })
                });
            }),
            (TaskLocal, |count| {
                each(count, |n| {
                    let request = REQUEST.get();
                    thread::spawn(move || REQUEST.sync_scope(request, || work(n)))
                });
            }),
        ],
    }
}

fn channel() -> Hop {
    Hop {
        name: "channel",
        body: "one message sent over tokio's `mpsc`, received and worked on, in one task",
        count: 1_000,
        cells: vec![
            (Bare, |count| {
                block_on(async move {
                    let (tx, mut rx) = mpsc::channel(1);
                    for n in 0..count {
                        tx.send(n).await.expect(RECEIVER);
                        black_box(work(rx.recv().await.expect(SENDER)));
                    }
                });
            }),
            (ByHand, |count| {
                block_on(async move {
                    let (tx, mut rx) = mpsc::channel(1);
                    for n in 0..count {
                        tx.send((n, Context::current())).await.expect(RECEIVER);
                        let (n, cx) = rx.recv().await.expect(SENDER);
                        let _guard = cx.attach();
                        black_box(work(n));
                    }
                });
            }),
            (Ctxhop, |count| {
                block_on(async move {
                    let (tx, mut rx) = mpsc::channel::<WithContext<u32>>(1);
                    for n in 0..count {
                        tx.send_with_current_context(n).await.expect(RECEIVER);
                        black_box(rx.recv().await.expect(SENDER).run(work));
                    }
                });
            }),
        ],
    }
}

const RECEIVER: &str = "the receiver is here";
const SENDER: &str = "the sender is here";

fn parallel_map() -> Hop {
    fn items(count: u32) -> rayon::range::Iter<u32> {
        (0..count).into_par_iter()
    }
    fn sum(results: impl ParallelIterator<Item = u64>) {
        black_box(results.sum::<u64>());
    }
    Hop {
        name: "parallel map",
        body: "one of a million numbers, mapped and summed by rayon",
        count: 1_000_000,
        cells: vec![
            (Bare, |count| sum(items(count).map(work))),
            (ByHand, |count| {
                let cx = Context::current();
                sum(items(count).map_init(|| cx.clone().attach(), |_guard, n| work(n)));
            }),
            (Ctxhop, |count| sum(items(count).with_current_context().map(work))),
        ],
    }
}

fn headers() -> Hop {
    Hop {
        name: "inject + extract",
        body: "one context written into new headers, and read from them",
        count: 300,
        cells: vec![
            (ByHand, |count| {
                let (propagator, cx) = (SdkPropagator::new(), Context::current());
                for _ in 0..count {
                    let mut headers = Pairs::new();
                    propagator.inject_context(black_box(&cx), &mut headers);
                    black_box(propagator.extract_with_context(&Context::new(), black_box(&headers)));
                }
            }),
            (Ctxhop, |count| {
                let (propagator, cx) = (TraceContextPropagator::new(), Context::current());
                for _ in 0..count {
                    let mut headers = Headers::new();
                    carrier::inject_with(&propagator, black_box(&cx), &mut headers);
                    black_box(carrier::extract_with(&propagator, black_box(&headers)));
                }
            }),
            (Fastrace, |count| {
                let cx = FastraceContext::current_local_parent().expect("a request is current");
                for _ in 0..count {
                    let mut headers = Pairs::new();
                    headers.insert("traceparent".to_owned(), black_box(&cx).encode_w3c_traceparent());
                    black_box(FastraceContext::decode_w3c_traceparent(&black_box(&headers)["traceparent"]));
                }
            }),
            (Dcontext, |count| {
                for _ in 0..count {
                    let bytes = dcontext::capture_serialized().expect("a registered value");
                    black_box(dcontext::ContextSnapshot::deserialize(black_box(&bytes)).expect("just made"));
                }
            }),
        ],
    }
}

fn messages() -> Hop {
    Hop {
        name: "publish + process",
        body: "one message through a bounded queue, with a producer's and a consumer's span made by the SDK",
        count: 100,
        cells: vec![
            (Bare, |count| {
                block_on(async move {
                    let (tx, rx) = async_channel::bounded(1);
                    for n in 0..count {
                        tx.send(n).await.expect(RECEIVER);
                        black_box(work(rx.recv().await.expect(SENDER)));
                    }
                });
            }),
            (ByHand, |count| {
                block_on(async move {
                    let (tx, rx) = async_channel::bounded(1);
                    for n in 0..count {
                        by_hand::publish(&*TRACER, &tx, n).await;
                        black_box(by_hand::process(&*TRACER, &rx, async |n| work(n)).await);
                    }
                });
            }),
            (Ctxhop, |count| {
                block_on(async move {
                    let (publisher, consumer) = queue::bounded(ORDERS.clone(), 1);
                    for n in 0..count {
                        publisher.publish(n).await.expect(RECEIVER);
                        let mut delivery = consumer.recv().await.expect(SENDER);
                        let operation = delivery.process();
                        let done = operation.run_async(|| async { Ok::<_, Infallible>(work(delivery.payload)) }).await;
                        black_box(done.expect("infallible"));
                        delivery.ack();
                    }
                });
            }),
        ],
    }
}
