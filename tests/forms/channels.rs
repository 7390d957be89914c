//! Channels: the work is a message, and whoever receives it does it.

#![allow(clippy::unit_arg, reason = "what a call returns is of no interest, and some return nothing")]

use std::{
    sync::mpsc as std_mpsc,
    time::{Duration, Instant},
};

use ctxhop::{WithContext, prelude::*, tracing::prelude::*};
use futures::channel as futures_channel;
use opentelemetry::Context;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{Forms, When::*, Work, after, check};

/// Makes a channel of the kind of message that the call sends, sends, and does what comes out at its other end.
macro_rules! sent {
    ($channel:expr, |$tx:ident| $send:expr, |$rx:ident| $receive:expr) => {{
        #[allow(unused_mut, reason = "some channels need it")]
        let (mut $tx, mut $rx) = $channel;
        // The sender stays until the message is received, as the channel may be closed without it.
        let sent = $send;
        after(async move {
            sent.await;
            let message = $receive;
            message.run(|work: Work| work.run());
            drop($tx);
        })
    }};
}

/// A row: the channel, its calls, and how to receive.
macro_rules! row {
    ($name:literal, $channel:expr, |$rx:ident| $receive:expr, |$tx:ident, $cx:ident, $work:ident|
        given: $given:expr, context: $context:expr, span: $span:expr
        $(, parent_only: $parent_only:expr, parent_span_only: $parent_span_only:expr)? $(,)?) => {
        check(
            $name,
            Later,
            Forms::new(
                |$cx: Context, $work: Work| sent!($channel, |$tx| $given, |$rx| $receive),
                |$work: Work| sent!($channel, |$tx| $context, |$rx| $receive),
            )
            $(.parent_only(|$work: Work| sent!($channel, |$tx| $parent_only, |$rx| $receive)))?,
            Forms::new(
                |$cx: TracingSnapshot, $work: Work| sent!($channel, |$tx| $given, |$rx| $receive),
                |$work: Work| sent!($channel, |$tx| $span, |$rx| $receive),
            )
            $(.parent_only(|$work: Work| sent!($channel, |$tx| $parent_span_only, |$rx| $receive)))?,
        )
    };
}

/// What a send that does not wait has done.
fn now<T>(_: T) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Polls an asynchronous send at once, as it may borrow its sender. There is room.
fn polled<T, E: std::fmt::Debug>(send: impl Future<Output = Result<T, E>>) -> std::future::Ready<()> {
    futures::executor::block_on(send).unwrap();
    std::future::ready(())
}

/// Where a send may block: not within a runtime.
fn off_runtime<T: Send>(send: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn_with_current_span(send).join().unwrap())
}

/// A sender that is used up.
fn once<Tx, Rx>((tx, rx): (Tx, Rx)) -> (Option<Tx>, Rx) {
    (Some(tx), rx)
}

fn latest<S: ctxhop::Snapshot>(rx: &mut watch::Receiver<WithContext<Option<Work>, S>>) -> WithContext<Work, S> {
    let message = rx.borrow_and_update().clone();
    message.map_inner(|work| work.expect("sent"))
}

#[test]
fn std_channels() {
    row!("std Sender::send", std_mpsc::channel(), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.send_with_context(cx, work).unwrap()),
        context: now(tx.send_with_current_context(work).unwrap()),
        span: now(tx.send_with_current_span(work).unwrap()),
        parent_only: now(tx.send_parent_only(work).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(work).unwrap()));
    row!("std SyncSender::send", std_mpsc::sync_channel(1), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.send_with_context(cx, work).unwrap()),
        context: now(tx.send_with_current_context(work).unwrap()),
        span: now(tx.send_with_current_span(work).unwrap()),
        parent_only: now(tx.send_parent_only(work).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(work).unwrap()));
    row!("std SyncSender::try_send", std_mpsc::sync_channel(1), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.try_send_with_context(cx, work).unwrap()),
        context: now(tx.try_send_with_current_context(work).unwrap()),
        span: now(tx.try_send_with_current_span(work).unwrap()),
        parent_only: now(tx.try_send_parent_only(work).unwrap()),
        parent_span_only: now(tx.try_send_parent_span_only(work).unwrap()));
}

#[test]
fn crossbeam_channels() {
    row!("crossbeam Sender::send", crossbeam_channel::bounded(1), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.send_with_context(cx, work).unwrap()),
        context: now(tx.send_with_current_context(work).unwrap()),
        span: now(tx.send_with_current_span(work).unwrap()),
        parent_only: now(tx.send_parent_only(work).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(work).unwrap()));
    row!("crossbeam Sender::try_send", crossbeam_channel::bounded(1), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.try_send_with_context(cx, work).unwrap()),
        context: now(tx.try_send_with_current_context(work).unwrap()),
        span: now(tx.try_send_with_current_span(work).unwrap()),
        parent_only: now(tx.try_send_parent_only(work).unwrap()),
        parent_span_only: now(tx.try_send_parent_span_only(work).unwrap()));
    row!("crossbeam Sender::send_timeout", crossbeam_channel::bounded(1), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.send_timeout_with_context(cx, work, Duration::ZERO).unwrap()),
        context: now(tx.send_timeout_with_current_context(work, Duration::ZERO).unwrap()),
        span: now(tx.send_timeout_with_current_span(work, Duration::ZERO).unwrap()));
    row!("crossbeam Sender::send_deadline", crossbeam_channel::bounded(1), |rx| rx.recv().unwrap(), |tx, cx, work|
        given: now(tx.send_deadline_with_context(cx, work, Instant::now()).unwrap()),
        context: now(tx.send_deadline_with_current_context(work, Instant::now()).unwrap()),
        span: now(tx.send_deadline_with_current_span(work, Instant::now()).unwrap()));
}

#[test]
fn tokio_channels() {
    row!("tokio mpsc Sender::send", mpsc::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: polled(tx.send_with_context(cx, work)),
        context: polled(tx.send_with_current_context(work)),
        span: polled(tx.send_with_current_span(work)),
        parent_only: polled(tx.send_parent_only(work)),
        parent_span_only: polled(tx.send_parent_span_only(work)));
    row!("tokio mpsc Sender::try_send", mpsc::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: now(tx.try_send_with_context(cx, work).unwrap()),
        context: now(tx.try_send_with_current_context(work).unwrap()),
        span: now(tx.try_send_with_current_span(work).unwrap()),
        parent_only: now(tx.try_send_parent_only(work).unwrap()),
        parent_span_only: now(tx.try_send_parent_span_only(work).unwrap()));
    row!("tokio mpsc Sender::send_timeout", mpsc::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: polled(tx.send_timeout_with_context(cx, work, Duration::from_secs(1))),
        context: polled(tx.send_timeout_with_current_context(work, Duration::from_secs(1))),
        span: polled(tx.send_timeout_with_current_span(work, Duration::from_secs(1))));
    row!("tokio mpsc Sender::blocking_send", mpsc::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: now(off_runtime(|| tx.blocking_send_with_context(cx, work))),
        context: now(off_runtime(|| tx.blocking_send_with_current_context(work))),
        span: now(off_runtime(|| tx.blocking_send_with_current_span(work))));
    row!("tokio mpsc UnboundedSender::send", mpsc::unbounded_channel(), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: now(tx.send_with_context(cx, work).unwrap()),
        context: now(tx.send_with_current_context(work).unwrap()),
        span: now(tx.send_with_current_span(work).unwrap()),
        parent_only: now(tx.send_parent_only(work).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(work).unwrap()));
    row!("tokio mpsc Permit::send", mpsc::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: now(tx.try_reserve().unwrap().send_with_context(cx, work)),
        context: now(tx.try_reserve().unwrap().send_with_current_context(work)),
        span: now(tx.try_reserve().unwrap().send_with_current_span(work)),
        parent_only: now(tx.try_reserve().unwrap().send_parent_only(work)),
        parent_span_only: now(tx.try_reserve().unwrap().send_parent_span_only(work)));
    row!("tokio mpsc OwnedPermit::send", mpsc::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: now(tx.clone().try_reserve_owned().unwrap().send_with_context(cx, work)),
        context: now(tx.clone().try_reserve_owned().unwrap().send_with_current_context(work)),
        span: now(tx.clone().try_reserve_owned().unwrap().send_with_current_span(work)),
        parent_only: now(tx.clone().try_reserve_owned().unwrap().send_parent_only(work)),
        parent_span_only: now(tx.clone().try_reserve_owned().unwrap().send_parent_span_only(work)));
    row!("tokio oneshot Sender::send", once(oneshot::channel()), |rx| rx.try_recv().unwrap(), |tx, cx, work|
        given: now(tx.take().unwrap().send_with_context(cx, work).unwrap()),
        context: now(tx.take().unwrap().send_with_current_context(work).unwrap()),
        span: now(tx.take().unwrap().send_with_current_span(work).unwrap()),
        parent_only: now(tx.take().unwrap().send_parent_only(work).unwrap()),
        parent_span_only: now(tx.take().unwrap().send_parent_span_only(work).unwrap()));
    row!("tokio broadcast Sender::send", broadcast::channel(1), |rx| rx.recv().await.unwrap(), |tx, cx, work|
        given: now(tx.send_with_context(cx, work).unwrap()),
        context: now(tx.send_with_current_context(work).unwrap()),
        span: now(tx.send_with_current_span(work).unwrap()),
        parent_only: now(tx.send_parent_only(work).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(work).unwrap()));
}

#[test]
fn tokio_watch() {
    row!("tokio watch Sender::send", watch::channel(None.with_current()), |rx| latest(&mut rx), |tx, cx, work|
        given: now(tx.send_with_context(cx, Some(work)).unwrap()),
        context: now(tx.send_with_current_context(Some(work)).unwrap()),
        span: now(tx.send_with_current_span(Some(work)).unwrap()),
        parent_only: now(tx.send_parent_only(Some(work)).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(Some(work)).unwrap()));
    row!("tokio watch Sender::send_replace", watch::channel(None.with_current()), |rx| latest(&mut rx), |tx, cx, work|
        given: now(tx.send_replace_with_context(cx, Some(work))),
        context: now(tx.send_replace_with_current_context(Some(work))),
        span: now(tx.send_replace_with_current_span(Some(work))),
        parent_only: now(tx.send_replace_parent_only(Some(work))),
        parent_span_only: now(tx.send_replace_parent_span_only(Some(work))));
    row!("tokio watch Sender::send_modify", watch::channel(None.with_current()), |rx| latest(&mut rx), |tx, cx, work|
        given: now(tx.send_modify_with_context(cx, |value| *value = Some(work))),
        context: now(tx.send_modify_with_current_context(|value| *value = Some(work))),
        span: now(tx.send_modify_with_current_span(|value| *value = Some(work))),
        parent_only: now(tx.send_modify_parent_only(|value| *value = Some(work))),
        parent_span_only: now(tx.send_modify_parent_span_only(|value| *value = Some(work))));
    row!("tokio watch Sender::send_if_modified", watch::channel(None.with_current()), |rx| latest(&mut rx), |tx, cx, work|
        given: now(assert!(tx.send_if_modified_with_context(cx, |value| value.replace(work).is_none()))),
        context: now(assert!(tx.send_if_modified_with_current_context(|value| value.replace(work).is_none()))),
        span: now(assert!(tx.send_if_modified_with_current_span(|value| value.replace(work).is_none()))),
        parent_only: now(assert!(tx.send_if_modified_parent_only(|value| value.replace(work).is_none()))),
        parent_span_only: now(assert!(tx.send_if_modified_parent_span_only(|value| value.replace(work).is_none()))));
}

#[test]
fn futures_channels() {
    row!("futures mpsc Sender::send", futures_channel::mpsc::channel(1), |rx| rx.try_recv().unwrap(), |tx, cx, work|
        given: polled(tx.send_with_context(cx, work)),
        context: polled(tx.send_with_current_context(work)),
        span: polled(tx.send_with_current_span(work)),
        parent_only: polled(tx.send_parent_only(work)),
        parent_span_only: polled(tx.send_parent_span_only(work)));
    row!("futures mpsc Sender::try_send", futures_channel::mpsc::channel(1), |rx| rx.try_recv().unwrap(), |tx, cx, work|
        given: now(tx.try_send_with_context(cx, work).unwrap()),
        context: now(tx.try_send_with_current_context(work).unwrap()),
        span: now(tx.try_send_with_current_span(work).unwrap()),
        parent_only: now(tx.try_send_parent_only(work).unwrap()),
        parent_span_only: now(tx.try_send_parent_span_only(work).unwrap()));
    row!("futures mpsc UnboundedSender::unbounded_send", futures_channel::mpsc::unbounded(), |rx| rx.try_recv().unwrap(), |tx, cx, work|
        given: now(tx.send_with_context(cx, work).unwrap()),
        context: now(tx.send_with_current_context(work).unwrap()),
        span: now(tx.send_with_current_span(work).unwrap()),
        parent_only: now(tx.send_parent_only(work).unwrap()),
        parent_span_only: now(tx.send_parent_span_only(work).unwrap()));
    row!("futures oneshot Sender::send", once(futures_channel::oneshot::channel()), |rx| rx.try_recv().unwrap().unwrap(), |tx, cx, work|
        given: now(tx.take().unwrap().send_with_context(cx, work).unwrap()),
        context: now(tx.take().unwrap().send_with_current_context(work).unwrap()),
        span: now(tx.take().unwrap().send_with_current_span(work).unwrap()),
        parent_only: now(tx.take().unwrap().send_parent_only(work).unwrap()),
        parent_span_only: now(tx.take().unwrap().send_parent_span_only(work).unwrap()));
}
