//! What several programs do, or what takes more than a few lines.

use std::{future::pending, mem, pin::Pin, sync::OnceLock, time::Duration};

use ctxhop::{WithContext, prelude::*};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracer, Span, SpanData, SpanProcessor},
};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, yield_now},
};

use crate::support::tagged;

/// A bare spawn, or one that carries the context.
pub(crate) type Spawn = fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> JoinHandle<()>;

pub(crate) type SpawnThread = fn(Box<dyn FnOnce() + Send>) -> std::thread::JoinHandle<()>;

pub(crate) async fn guard_across_await() {
    let _guard = tagged("auth").attach();
    yield_now().await;
}

pub(crate) fn out_of_order() {
    let (first, second) = (tagged("first").attach(), tagged("second").attach());
    drop(first);
    drop(second);
}

/// Does the work in that many hops, each in the work of the one before.
pub(crate) fn nested(hops: usize, work: fn()) {
    if hops == 0 { work() } else { Context::current().wrap(|| nested(hops - 1, work))() }
}

pub(crate) async fn lost(tracer: SdkTracer, spawn: Spawn) {
    let request = Context::new().with_span(tracer.start("request"));
    let work = async move {
        let render = move || {
            drop(tracer.start("render"));
            drop(tracer.start("page"));
            drop(tracer.start("render"));
        };
        ctxhop::tokio::spawn_blocking(render).await.unwrap();
    };
    request.run(|| spawn(Box::pin(work))).await.unwrap();
}

pub(crate) fn bare_thread(tracer: &SdkTracer, spawn: SpawnThread) {
    let request = Context::new().with_span(tracer.start("request"));
    let tracer = tracer.clone();
    request.run(|| spawn(Box::new(move || drop(tracer.start("render"))))).join().unwrap();
}

pub(crate) async fn pooled(tracer: &SdkTracer, spawn: Spawn) {
    let request = Context::new().with_span(tracer.start("GET /orders"));
    let (opened, open) = oneshot::channel();
    let connection = async move {
        opened.send(()).unwrap();
        pending().await
    };
    // As a pool keeps it.
    mem::forget(request.run(|| spawn(Box::pin(connection))));
    open.await.unwrap();
    request.span().end();
}

/// Makes a hop inside of the span that ends.
#[derive(Debug)]
pub(crate) struct HopsAtEnd;

impl SpanProcessor for HopsAtEnd {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {
        drop(1.with_current_context());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

pub(crate) async fn fire_and_forget(tracer: &SdkTracer, spawn: Spawn) {
    let request = Context::new().with_span(tracer.start("GET /orders"));
    mem::forget(request.run(|| spawn(Box::pin(pending()))));
}

pub(crate) fn watch(tracer: &SdkTracer, send: fn(&tokio::sync::watch::Sender<WithContext<u32>>)) {
    let (tx, rx) = tokio::sync::watch::channel(0.detached());
    Context::new().with_span(tracer.start("GET /orders")).run(|| send(&tx));
    mem::forget((tx, rx));
}

pub(crate) fn cache(cx: Context) {
    static CACHE: OnceLock<Context> = OnceLock::new();
    CACHE.get_or_init(|| cx);
}

pub(crate) fn in_pieces(last: fn()) {
    let numbers = (0..64).into_par_iter().with_context(tagged("request")).with_min_len(1);
    numbers.for_each(|number| {
        if number == 63 {
            last();
        }
    });
}

pub(crate) fn roots_in_pieces(tracer: &SdkTracer, spawn: SpawnThread) {
    let (_open, tracer) = (tracer.start("other"), tracer.clone());
    let work = move || {
        let pieces = (0..64).into_par_iter().with_max_len(1).with_current_context();
        pieces.for_each(|_| drop(tracer.start("flush")));
    };
    spawn(Box::new(work)).join().unwrap();
}

pub(crate) fn roots_in_halves(tracer: &SdkTracer, spawn: SpawnThread) {
    let (_open, tracer) = (tracer.start("other"), tracer.clone());
    let flush = move || drop(tracer.start("flush"));
    spawn(Box::new(move || _ = ctxhop::rayon::join(&flush, &flush))).join().unwrap();
}

pub(crate) fn batch(request: &Context, carried: fn(&Context) -> Context) {
    let orders = vec![String::from("apples"), String::from("pears")].with_context(carried(request));
    mem::forget(orders.map_inner(|orders| orders).into_items().collect::<Vec<_>>());
    request.span().end();
}
