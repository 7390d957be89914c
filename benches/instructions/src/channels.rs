//! A message that is sent, received and worked on, on one thread, over each kind of channel.

use std::{hint::black_box, sync::mpsc as std_mpsc};

use ctxhop::prelude::*;
use futures::channel::{mpsc as futures_mpsc, oneshot as futures_oneshot};
use opentelemetry::Context;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{Case, context};

fn handle(value: i32) {
    black_box(value);
}

fn by_hand((value, cx): (i32, Context)) {
    let _guard = cx.attach();
    handle(value);
}

/// In a context that was attached before the first round.
fn messages(rounds: u32, mut message: impl FnMut()) {
    let _guard = context().attach();
    (0..rounds).for_each(|_| message());
}

/// The hand-made pair, and ours: how the channel is made, how a pair is sent, how one of ours is, and how both are received.
macro_rules! channel {
    ($name:literal, $make:expr, |$tx:ident, $value:ident| $send:expr, $send_ours:expr, |$rx:ident| $recv:expr) => {
        [
            ($name, "by hand", |rounds| {
                #[allow(unused_mut, reason = "some receive by reference")]
                let ($tx, mut $rx) = $make;
                messages(rounds, || {
                    let $value = (black_box(7), Context::current());
                    $send.expect("the receiver is here");
                    by_hand($recv.expect("the sender is here"));
                });
            }),
            ($name, "ctxhop", |rounds| {
                #[allow(unused_mut, reason = "some receive by reference")]
                let ($tx, mut $rx) = $make;
                messages(rounds, || {
                    let $value = black_box(7);
                    $send_ours.expect("the receiver is here");
                    $recv.expect("the sender is here").run(handle);
                });
            }),
        ]
    };
}

pub(crate) const CASES: &[[Case; 2]] = &[
    channel!(
        "std channel",
        std_mpsc::channel(),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    ),
    channel!(
        "std, bounded",
        std_mpsc::sync_channel(1),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    ),
    channel!(
        "crossbeam",
        crossbeam_channel::unbounded(),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    ),
    channel!(
        "crossbeam, bounded",
        crossbeam_channel::bounded(1),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.recv()
    ),
    channel!(
        "tokio mpsc",
        mpsc::unbounded_channel(),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.try_recv()
    ),
    channel!(
        "tokio broadcast",
        broadcast::channel(1),
        |tx, value| tx.send(value),
        tx.send_with_current_context(value),
        |rx| rx.try_recv()
    ),
    [
        ("tokio oneshot", "by hand", |rounds| {
            messages(rounds, || {
                let (tx, mut rx) = oneshot::channel();
                tx.send((black_box(7), Context::current())).expect("the receiver is here");
                by_hand(rx.try_recv().expect("it is sent"));
            });
        }),
        ("tokio oneshot", "ctxhop", |rounds| {
            messages(rounds, || {
                let (tx, mut rx) = oneshot::channel();
                tx.send_with_current_context(black_box(7)).expect("the receiver is here");
                rx.try_recv().expect("it is sent").run(handle);
            });
        }),
    ],
    channel!(
        "futures mpsc",
        futures_mpsc::unbounded(),
        |tx, value| tx.unbounded_send(value),
        tx.send_with_current_context(value),
        |rx| rx.try_recv()
    ),
    [
        ("futures oneshot", "by hand", |rounds| {
            messages(rounds, || {
                let (tx, mut rx) = futures_oneshot::channel();
                tx.send((black_box(7), Context::current())).expect("the receiver is here");
                by_hand(rx.try_recv().ok().flatten().expect("it is sent"));
            });
        }),
        ("futures oneshot", "ctxhop", |rounds| {
            messages(rounds, || {
                let (tx, mut rx) = futures_oneshot::channel();
                tx.send_with_current_context(black_box(7)).expect("the receiver is here");
                rx.try_recv().ok().flatten().expect("it is sent").run(handle);
            });
        }),
    ],
    channel!(
        "async-channel",
        async_channel::bounded(1),
        |tx, value| tx.try_send(value),
        tx.try_send(value.with_current_context()),
        |rx| rx.try_recv()
    ),
];
