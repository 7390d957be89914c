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
    messaging::Destination,
    prelude::*,
    propagation::TraceContextPropagator,
    queue,
    tower::TraceLayer,
};
use fastrace::{collector::SpanContext as FastraceContext, future::FutureExt as _};
use http::{Request, Response};
use http_body_util::Empty;
use opentelemetry::{
    Context, KeyValue, context as theirs,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanKind, TraceContextExt, Tracer, noop::NoopTracer},
};
use opentelemetry_sdk::propagation::TraceContextPropagator as SdkPropagator;
use rayon::prelude::*;
use tokio::{
    runtime,
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument;

use crate::{by_hand, twin};

use super::competitors::{
    Competitor::{
        self, Bare, ByHand, Ctxhop, Dcontext, Fastrace, OpenTelemetry, TaskLocal, Tracing, TracingOpenTelemetry, Twin,
        TwinOfSdk,
    },
    NOOP_ORDERS, NOOP_TRACER, ORDERS, PROVIDER, Pairs, REQUEST, TRACER, UNSAMPLED_ORDERS, UNSAMPLED_TRACER,
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
    vec![
        poll(),
        spawn(),
        blocking(),
        threads(),
        channel(),
        parallel_map(),
        headers(),
        messages(),
        unsampled(),
        without_sdk(),
        http(),
    ]
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
            (ByHand, |count| short(count, &*TRACER)),
            (TwinOfSdk, |count| twins(count, TRACER.clone(), SdkPropagator::new())),
            (Twin, |count| twins(count, TRACER.clone(), TraceContextPropagator::new())),
            (Ctxhop, |count| queued(count, &ORDERS)),
        ],
    }
}

fn unsampled() -> Hop {
    Hop {
        name: "… not sampled",
        body: "the same, where the sampler drops both spans",
        count: 100,
        cells: vec![
            (ByHand, |count| short(count, &*UNSAMPLED_TRACER)),
            (TwinOfSdk, |count| twins(count, UNSAMPLED_TRACER.clone(), SdkPropagator::new())),
            (Twin, |count| twins(count, UNSAMPLED_TRACER.clone(), TraceContextPropagator::new())),
            (Ctxhop, |count| queued(count, &UNSAMPLED_ORDERS)),
        ],
    }
}

fn without_sdk() -> Hop {
    Hop {
        name: "… without an SDK",
        body: "the same, where no SDK is installed; the headers carry the context that is current",
        count: 100,
        cells: vec![
            (ByHand, |count| short(count, &*NOOP_TRACER)),
            (TwinOfSdk, |count| twins(count, NoopTracer::new(), SdkPropagator::new())),
            (Twin, |count| twins(count, NoopTracer::new(), TraceContextPropagator::new())),
            (Ctxhop, |count| queued(count, &NOOP_ORDERS)),
        ],
    }
}

/// As one writes it first.
fn short<T>(count: u32, tracer: &T)
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    block_on(async move {
        let (tx, rx) = async_channel::bounded(1);
        for n in 0..count {
            by_hand::publish(tracer, &tx, n).await;
            black_box(by_hand::process(tracer, &rx, async |n| work(n)).await);
        }
    });
}

/// As one writes it to give what ctxhop's queue gives.
fn twins<T, P>(count: u32, tracer: T, propagator: P)
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
    P: TextMapPropagator,
{
    block_on(async move {
        let queue = twin::Queue::with_propagator(tracer, 1, propagator);
        for n in 0..count {
            queue.publish(n).await;
            let mut delivery = queue.recv().await;
            let n = delivery.value();
            let done = queue.process(&mut delivery, async { Ok::<_, Infallible>(work(n)) }).await;
            black_box(done.expect("infallible"));
            delivery.ack();
        }
    });
}

fn queued(count: u32, orders: &Destination) {
    block_on(async move {
        let (publisher, consumer) = queue::bounded(orders.clone(), 1);
        for n in 0..count {
            publisher.publish(n).await.expect(RECEIVER);
            let mut delivery = consumer.recv().await.expect(SENDER);
            let operation = delivery.process();
            let done = operation.run_async(|| async { Ok::<_, Infallible>(work(delivery.payload)) }).await;
            black_box(done.expect("infallible"));
            delivery.ack();
        }
    });
}

fn http() -> Hop {
    /// A request with a context in its headers, as a server gets it.
    fn request(n: u32) -> Request<u32> {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Request::get("/orders?page=2").header("traceparent", parent).body(n).expect("a request")
    }
    async fn answer(request: Request<u32>) -> Response<Empty<&'static [u8]>> {
        black_box(work(*request.body()));
        Response::new(Empty::new())
    }
    async fn answer_by_hand(request: Request<u32>) -> Response<Empty<&'static [u8]>> {
        struct Lookup<'a>(&'a http::HeaderMap);
        impl Extractor for Lookup<'_> {
            fn get(&self, key: &str) -> Option<&str> {
                self.0.get(key)?.to_str().ok()
            }
            fn keys(&self) -> Vec<&str> {
                self.0.keys().map(http::HeaderName::as_str).collect()
            }
        }
        let parent = SdkPropagator::new().extract_with_context(&Context::new(), &Lookup(request.headers()));
        let uri = request.uri();
        let described = [
            KeyValue::new("http.request.method", request.method().to_string()),
            KeyValue::new("url.path", uri.path().to_owned()),
            KeyValue::new("url.query", uri.query().unwrap_or_default().to_owned()),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("network.protocol.version", "1.1"),
        ];
        let builder = TRACER.span_builder("GET").with_kind(SpanKind::Server).with_attributes(described);
        let cx = parent.with_span(builder.start_with_context(&*TRACER, &parent));
        let response = theirs::FutureExt::with_context(answer(request), cx.clone()).await;
        let span = cx.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(response.status().as_u16())));
        span.end();
        response
    }
    #[derive(Clone)]
    struct Answer;
    impl Service<Request<u32>> for Answer {
        type Response = Response<Empty<&'static [u8]>>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
            task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<u32>) -> Self::Future {
            Box::pin(async { Ok(answer(request).await) })
        }
    }
    Hop {
        name: "HTTP request",
        body: "one request to a server, with a span made by the SDK; ctxhop's is a layer of tower that also measures",
        count: 100,
        cells: vec![
            (Bare, |count| {
                block_on(async move {
                    for n in 0..count {
                        drop(black_box(Answer.call(request(n)).await));
                    }
                });
            }),
            (ByHand, |count| {
                block_on(async move {
                    for n in 0..count {
                        drop(black_box(Box::pin(answer_by_hand(request(n))).await));
                    }
                });
            }),
            (Ctxhop, |count| {
                let layer = TraceLayer::server();
                let layer = layer.with_tracer_provider(&*PROVIDER).with_propagator(TraceContextPropagator::new());
                let mut service = layer.layer(Answer);
                block_on(async move {
                    for n in 0..count {
                        drop(black_box(service.call(request(n)).await));
                    }
                });
            }),
        ],
    }
}
