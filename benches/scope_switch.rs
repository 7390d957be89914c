//! What it costs to switch the context: ctxhop's ways beside the bare work and beside opentelemetry's own.
//!
//! ```sh
//! cargo bench --bench scope_switch            # everything
//! cargo bench --bench scope_switch -- poll    # one group
//! ```
//!
//! Every group does the same work in each way, once with an `empty` context and once with a `full` one: a span and a
//! value, that is two reference counts to go up and down. What a way costs is its time less that of `bare`, which is
//! the work alone. Compare only what one run has measured.

mod measure;

use std::{
    future::{self, Ready},
    hint::black_box,
    pin::{Pin, pin},
    task::{self, Poll, Waker},
};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use ctxhop::{Propagate, Snapshot};
use futures::{Stream, stream};
use measure::compare;
use opentelemetry::{
    Context,
    context::FutureExt,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};

/// One attach and one detach.
fn attach(c: &mut Criterion) {
    each_context(c, "attach", |group, kind, cx| {
        way(group, "bare", kind, || cx.clone());
        way(group, "opentelemetry", kind, || drop(black_box(cx.clone().attach())));
        way(group, "ctxhop", kind, || drop(black_box(Snapshot::attach(cx.clone()))));
        way(group, "ctxhop run", kind, || cx.run(|| black_box(())));
    });
}

/// One poll of a future that goes on. As the two wrappers are within a few instructions of each other, their ratio is
/// printed first, from runs that alternate.
fn poll(c: &mut Criterion) {
    each_context(c, "poll", |group, kind, cx| {
        let mut bare = pin!(endless());
        let mut opentelemetry = pin!(FutureExt::with_context(endless(), cx.clone()));
        let mut ctxhop = pin!(Propagate::with_context(endless(), cx.clone()));
        let polls = |poll: &mut dyn FnMut()| (0..100_000).for_each(|_| poll());
        compare(
            &format!("poll/{kind}, 100,000 times"),
            301,
            &mut [
                ("opentelemetry", &mut || polls(&mut || _ = poll_once(opentelemetry.as_mut()))),
                ("ctxhop", &mut || polls(&mut || _ = poll_once(ctxhop.as_mut()))),
            ],
        );
        way(group, "bare", kind, || poll_once(bare.as_mut()));
        way(group, "opentelemetry", kind, || poll_once(opentelemetry.as_mut()));
        way(group, "ctxhop", kind, || poll_once(ctxhop.as_mut()));
    });
}

/// One poll of a stream that goes on.
fn poll_stream(c: &mut Criterion) {
    each_context(c, "poll_stream", |group, kind, cx| {
        let mut bare = pin!(stream::repeat(7));
        let mut opentelemetry = pin!(FutureExt::with_context(stream::repeat(7), cx.clone()));
        let mut ctxhop = pin!(Propagate::with_context(stream::repeat(7), cx.clone()));
        way(group, "bare", kind, || poll_next(bare.as_mut()));
        way(group, "opentelemetry", kind, || poll_next(opentelemetry.as_mut()));
        way(group, "ctxhop", kind, || poll_next(ctxhop.as_mut()));
    });
}

/// A future's whole life: make it, poll it once, drop it.
fn complete(c: &mut Criterion) {
    each_context(c, "complete", |group, kind, cx| {
        way(group, "bare", kind, || poll_once(pin!(boxed())));
        way(group, "opentelemetry", kind, || poll_once(pin!(FutureExt::with_context(boxed(), cx.clone()))));
        way(group, "ctxhop", kind, || poll_once(pin!(Propagate::with_context(boxed(), cx.clone()))));
    });
}

/// A future that is made and dropped. Only ctxhop runs its destructor inside the context.
fn drop_unpolled(c: &mut Criterion) {
    each_context(c, "drop_unpolled", |group, kind, cx| {
        way(group, "bare", kind, boxed);
        way(group, "opentelemetry", kind, || FutureExt::with_context(boxed(), cx.clone()));
        way(group, "ctxhop", kind, || Propagate::with_context(boxed(), cx.clone()));
    });
}

/// A closure that takes its context along, and is called.
fn message(c: &mut Criterion) {
    each_context(c, "message", |group, kind, cx| {
        way(group, "bare", kind, || black_box(|| black_box(7))());
        way(group, "by hand", kind, || {
            let cx = cx.clone();
            black_box(move || {
                let _guard = cx.attach();
                black_box(7)
            })()
        });
        way(group, "ctxhop wrap", kind, || black_box(cx.clone().wrap(|| black_box(7)))());
    });
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn each_context(c: &mut Criterion, name: &str, bench: impl Fn(&mut Group<'_>, &str, &Context)) {
    let span = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
    let full = Context::new().with_value(7).with_remote_span_context(span);
    let mut group = c.benchmark_group(name);
    bench(&mut group, "empty", &Context::new());
    bench(&mut group, "full", &full);
    group.finish();
}

fn way<R>(group: &mut Group<'_>, way: &str, kind: &str, mut work: impl FnMut() -> R) {
    group.bench_function(format!("{kind}/{way}"), |b| b.iter(&mut work));
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    black_box(future).poll(&mut task::Context::from_waker(Waker::noop()))
}

fn poll_next<S: Stream>(stream: Pin<&mut S>) -> Poll<Option<S::Item>> {
    black_box(stream).poll_next(&mut task::Context::from_waker(Waker::noop()))
}

async fn endless() {
    loop {
        future::pending::<()>().await;
    }
}

/// Ready at once, and with a destructor.
fn boxed() -> Box<Ready<i32>> {
    Box::new(future::ready(7))
}

criterion_group!(benches, attach, poll, poll_stream, complete, drop_unpolled, message);
criterion_main!(benches);
