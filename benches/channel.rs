//! What a message costs that takes its context along: each channel bare, with the pair `(value, Context)` that one
//! would send by hand, and by ctxhop. One message is sent, received and handled, on one thread.
//!
//! ```sh
//! cargo bench --bench channel              # everything
//! cargo bench --bench channel -- oneshot   # one group
//! ```
//!
//! Compare only what one run has measured.

use std::{hint::black_box, sync::mpsc as std_mpsc, time::Duration};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use ctxhop::prelude::*;
use futures::channel::{mpsc as futures_mpsc, oneshot as futures_oneshot};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// The three ways through a channel: how it is made, how a bare value or a pair is sent, how one of ours is, and how all
/// are received.
macro_rules! channel {
    ($c:ident, $name:literal, $make:expr, |$tx:ident, $value:ident| $send:expr, $send_ours:expr, |$rx:ident| $recv:expr) => {
        in_context($c, $name, |group| {
            #[allow(unused_mut, reason = "some receive by reference")]
            let ($tx, mut $rx) = $make;
            way(group, "bare", || {
                let $value = black_box(7);
                $send.unwrap();
                handle($recv.unwrap())
            });
            #[allow(unused_mut, reason = "some receive by reference")]
            let ($tx, mut $rx) = $make;
            way(group, "by hand", || {
                let $value = (black_box(7), Context::current());
                $send.unwrap();
                by_hand($recv.unwrap())
            });
            #[allow(unused_mut, reason = "some receive by reference")]
            let ($tx, mut $rx) = $make;
            way(group, "ctxhop", || {
                let $value = black_box(7);
                $send_ours.unwrap();
                $recv.unwrap().run(handle)
            });
        })
    };
}

fn queues(c: &mut Criterion) {
    channel!(c, "std", std_mpsc::channel(), |tx, value| tx.send(value), tx.send_with_current_context(value), |rx| rx
        .recv());
    channel!(
        c,
        "std, bounded",
        std_mpsc::sync_channel(1),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    );
    channel!(
        c,
        "crossbeam, bounded",
        crossbeam_channel::bounded(1),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    );
    channel!(
        c,
        "crossbeam, unbounded",
        crossbeam_channel::unbounded(),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    );
    channel!(
        c,
        "tokio, bounded",
        mpsc::channel(1),
        |tx, value| tx.try_send(value),
        tx.try_send_with_current_context(value),
        |rx| rx.try_recv()
    );
    channel!(
        c,
        "tokio, unbounded",
        mpsc::unbounded_channel(),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.try_recv()
    );
    channel!(
        c,
        "tokio, broadcast",
        broadcast::channel(1),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.try_recv()
    );
    channel!(
        c,
        "futures, bounded",
        futures_mpsc::channel(1),
        |tx, value| tx.clone().try_send(value),
        tx.clone().try_send_with_current_context(value),
        |rx| rx.try_recv()
    );
    channel!(
        c,
        "futures, unbounded",
        futures_mpsc::unbounded(),
        |tx, value| tx.unbounded_send(value),
        tx.send_with_current_context(value),
        |rx| rx.try_recv()
    );
    channel!(
        c,
        "async-channel, which this crate knows nothing of",
        async_channel::bounded(1),
        |tx, value| tx.try_send(value),
        tx.try_send(value.with_current_context()),
        |rx| rx.try_recv()
    );
}

/// A new channel for each message.
fn oneshots(c: &mut Criterion) {
    in_context(c, "tokio, oneshot", |group| {
        way(group, "bare", || {
            let (tx, mut rx) = oneshot::channel();
            tx.send(black_box(7)).unwrap();
            handle(rx.try_recv().unwrap())
        });
        way(group, "by hand", || {
            let (tx, mut rx) = oneshot::channel();
            tx.send((black_box(7), Context::current())).unwrap();
            by_hand(rx.try_recv().unwrap())
        });
        way(group, "ctxhop", || {
            let (tx, mut rx) = oneshot::channel();
            tx.send_with_current_context(black_box(7)).unwrap();
            rx.try_recv().unwrap().run(handle)
        });
    });
    in_context(c, "futures, oneshot", |group| {
        way(group, "bare", || {
            let (tx, mut rx) = futures_oneshot::channel();
            tx.send(black_box(7)).unwrap();
            handle(rx.try_recv().unwrap().unwrap())
        });
        way(group, "by hand", || {
            let (tx, mut rx) = futures_oneshot::channel();
            tx.send((black_box(7), Context::current())).unwrap();
            by_hand(rx.try_recv().unwrap().unwrap())
        });
        way(group, "ctxhop", || {
            let (tx, mut rx) = futures_oneshot::channel();
            tx.send_with_current_context(black_box(7)).unwrap();
            rx.try_recv().unwrap().unwrap().run(handle)
        });
    });
}

/// The value stays in the channel and is handled where it lies.
fn watched(c: &mut Criterion) {
    in_context(c, "tokio, watch", |group| {
        let (tx, rx) = watch::channel(0);
        way(group, "bare", || {
            tx.send(black_box(7)).unwrap();
            handle(*rx.borrow())
        });
        let (tx, rx) = watch::channel((0, Context::new()));
        way(group, "by hand", || {
            tx.send((black_box(7), Context::current())).unwrap();
            by_hand(rx.borrow().clone())
        });
        let (tx, rx) = watch::channel(0.with_current_context());
        way(group, "ctxhop", || {
            tx.send_with_current_context(black_box(7)).unwrap();
            rx.borrow().run_ref(|value| handle(*value))
        });
    });
}

/// With a span and a value current.
fn in_context(c: &mut Criterion, name: &str, bench: impl FnOnce(&mut BenchmarkGroup<'_, WallTime>)) {
    let span = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
    let _guard = Context::new().with_value(7).with_remote_span_context(span).attach();
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    bench(&mut group);
    group.finish();
}

fn way<R>(group: &mut BenchmarkGroup<'_, WallTime>, way: &str, mut work: impl FnMut() -> R) {
    group.bench_function(way, |b| b.iter(&mut work));
}

fn handle(value: i32) -> i32 {
    black_box(value)
}

fn by_hand((value, cx): (i32, Context)) -> i32 {
    let _guard = cx.attach();
    handle(value)
}

criterion_group!(benches, queues, oneshots, watched);
criterion_main!(benches);
