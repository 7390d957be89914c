//! tokio's channels.

use std::{any::Any, time::Duration};

use ctxhop::{WithContext, prelude::*, tracing::prelude::*};
use futures::{channel as futures_channel, executor::block_on, poll};
use opentelemetry::Context;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{
    FATES, UNREFUSED, closed,
    support::{Case, Channel, Fate, Message, Submitted, assert_stranger, check_channel, stranger, tag, tagged},
    watch::{TokioWatch, TokioWatchModify, TokioWatchReplace},
};

row!(TokioSend, "tokio mpsc Sender::send", message,
    pass: {
        let (tx, mut rx) = mpsc::channel(1);
        block_on(tx.send_with_current_context(message)).unwrap();
        let mut messages = Vec::new();
        assert_eq!(block_on(rx.recv_many(&mut messages, 10)), 1);
        messages.remove(0)
    },
    fill: {
        let (tx, rx) = mpsc::channel(1);
        block_on(tx.send_with_current_context(message)).unwrap();
        (tx, rx)
    },
    refuse: [block_on(closed(mpsc::channel(1)).send_with_current_context(message)).unwrap_err().0]);

row!(TokioTrySend, "tokio mpsc Sender::try_send", message,
pass: {
    let (tx, mut rx) = mpsc::channel(1);
    tx.try_send_with_current_context(message).unwrap();
    rx.try_recv().unwrap()
},
fill: {
    let (tx, rx) = mpsc::channel(1);
    tx.try_send_with_current_context(message).unwrap();
    (tx, rx)
},
refuse: [
    match closed(mpsc::channel(1)).try_send_with_current_context(message).unwrap_err() {
        mpsc::error::TrySendError::Closed(message) => message,
        full => panic!("{full:?}"),
    },
    {
        let (tx, _rx) = mpsc::channel(1);
        let _all_room = tx.try_reserve().unwrap();
        match tx.try_send_with_current_context(message).unwrap_err() {
            mpsc::error::TrySendError::Full(message) => message,
            closed => panic!("{closed:?}"),
        }
    },
]);

row!(TokioSendTimeout, "tokio mpsc Sender::send_timeout", message,
pass: paused(async {
    let (tx, mut rx) = mpsc::channel(1);
    tx.send_timeout_with_current_context(message, Duration::from_secs(1)).await.unwrap();
    rx.recv().await.unwrap()
}),
fill: paused(async {
    let (tx, rx) = mpsc::channel(1);
    tx.send_timeout_with_current_context(message, Duration::from_secs(1)).await.unwrap();
    (tx, rx)
}),
refuse: [
    paused(async {
        let (tx, _) = mpsc::channel(1);
        match tx.send_timeout_with_current_context(message, Duration::from_secs(1)).await.unwrap_err() {
            mpsc::error::SendTimeoutError::Closed(message) => message,
            timeout => panic!("{timeout:?}"),
        }
    }),
    paused(async {
        let (tx, _rx) = mpsc::channel(1);
        let _all_room = tx.try_reserve().unwrap();
        match tx.send_timeout_with_current_context(message, Duration::from_secs(1)).await.unwrap_err() {
            mpsc::error::SendTimeoutError::Timeout(message) => message,
            closed => panic!("{closed:?}"),
        }
    }),
]);

/// Runs a future on a runtime whose clock jumps to the next timer.
fn paused<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

row!(TokioBlockingSend, "tokio mpsc Sender::blocking_send", message,
    pass: {
        let (tx, mut rx) = mpsc::channel(1);
        tx.blocking_send_with_current_context(message).unwrap();
        rx.blocking_recv().unwrap()
    },
    fill: {
        let (tx, rx) = mpsc::channel(1);
        tx.blocking_send_with_current_context(message).unwrap();
        (tx, rx)
    },
    refuse: [closed(mpsc::channel(1)).blocking_send_with_current_context(message).unwrap_err().0]);

row!(TokioPermit, "tokio mpsc Permit::send", message,
    pass: {
        let (tx, mut rx) = mpsc::channel(1);
        tx.try_reserve().unwrap().send_with_current_context(message);
        rx.try_recv().unwrap()
    },
    fill: {
        let (tx, rx) = mpsc::channel(1);
        tx.try_reserve().unwrap().send_with_current_context(message);
        (tx, rx)
    },
    refuse: []);

row!(TokioOwnedPermit, "tokio mpsc OwnedPermit::send", message,
    pass: {
        let (tx, mut rx) = mpsc::channel(1);
        let _tx: mpsc::Sender<_> = tx.try_reserve_owned().unwrap().send_with_current_context(message);
        rx.try_recv().unwrap()
    },
    fill: {
        let (tx, rx) = mpsc::channel(1);
        let tx = tx.try_reserve_owned().unwrap().send_with_current_context(message);
        (tx, rx)
    },
    refuse: []);

row!(TokioUnboundedSend, "tokio mpsc UnboundedSender::send", message,
    pass: {
        let (tx, mut rx) = mpsc::unbounded_channel();
        tx.send_with_current_context(message).unwrap();
        rx.try_recv().unwrap()
    },
    fill: {
        let (tx, rx) = mpsc::unbounded_channel();
        tx.send_with_current_context(message).unwrap();
        (tx, rx)
    },
    refuse: [closed(mpsc::unbounded_channel()).send_with_current_context(message).unwrap_err().0]);

row!(TokioOneshot, "tokio oneshot Sender::send", message,
    pass: {
        let (tx, mut rx) = oneshot::channel();
        tx.send_with_current_context(message).unwrap();
        rx.try_recv().unwrap()
    },
    fill: {
        let (tx, rx) = oneshot::channel();
        tx.send_with_current_context(message).unwrap();
        rx
    },
    refuse: [closed(oneshot::channel()).send_with_current_context(message).unwrap_err()]);

row!(TokioBroadcast, "tokio broadcast Sender::send", message,
    pass: {
        let (tx, mut rx) = broadcast::channel(1);
        assert_eq!(tx.send_with_current_context(message).unwrap(), 1);
        rx.try_recv().unwrap()
    },
    fill: {
        let (tx, rx) = broadcast::channel(1);
        tx.send_with_current_context(message).unwrap();
        (tx, rx)
    },
    refuse: [closed(broadcast::channel(1)).send_with_current_context(message).unwrap_err().0]);

#[test]
fn matrix_of_tokio() {
    check_channel::<TokioSend>(FATES);
    check_channel::<TokioTrySend>(FATES);
    check_channel::<TokioSendTimeout>(FATES);
    check_channel::<TokioBlockingSend>(FATES);
    check_channel::<TokioPermit>(UNREFUSED);
    check_channel::<TokioOwnedPermit>(UNREFUSED);
    check_channel::<TokioUnboundedSend>(FATES);
    check_channel::<TokioOneshot>(FATES);
    check_channel::<TokioBroadcast>(FATES);
    check_channel::<TokioWatch>(FATES);
    check_channel::<TokioWatchReplace>(UNREFUSED);
    check_channel::<TokioWatchModify>(UNREFUSED);
}

#[test]
fn an_async_send_captures_at_the_call_and_drops_its_message_inside() {
    let _guard = stranger().attach();
    let case = Case::new("tokio mpsc Sender::send", Submitted::Set, Fate::Midway);
    let (tx, mut rx) = mpsc::channel(1);
    let reserved = tx.try_reserve().unwrap();

    let captured = tagged("call").run(|| tx.send_with_current_context(None));
    let mut cancelled = Box::pin(case.submit(|| tx.send_with_current_context(Some(case.probe()))));
    block_on(async { assert!(poll!(&mut cancelled).is_pending()) });
    drop(cancelled);
    case.assert_saw(&[]);
    case.assert_released();

    drop(reserved);
    block_on(captured).unwrap();
    assert_eq!(rx.try_recv().unwrap().run(|_| tag()), Some("call"));
    assert_stranger("after sends");
}

/// rustc takes a future that is spawned apart, and forgets which of its lifetimes are the same.
#[test]
fn sends_of_borrowed_values_can_be_spawned() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (tx, mut rx) = mpsc::channel(4);
        let sends = async move {
            tx.send_with_current_context("current").await.unwrap();
            tx.send_parent_only("parent").await.unwrap();
            tx.send_with_context(Context::new(), "given").await.unwrap();
            tx.send_timeout_with_current_context("timeout", Duration::from_secs(1)).await.unwrap();
        };
        tokio::spawn(sends).await.unwrap();
        assert_eq!(rx.recv().await.unwrap().into_inner(), "current");

        let (tx, mut rx) = mpsc::channel(4);
        let sends = async move {
            tx.send_with_current_span("current").await.unwrap();
            tx.send_parent_span_only("parent").await.unwrap();
            tx.send_timeout_with_current_span("timeout", Duration::from_secs(1)).await.unwrap();
        };
        tokio::spawn(sends).await.unwrap();
        assert_eq!(rx.recv().await.unwrap().into_inner(), "current");

        let (mut tx, mut rx) = futures_channel::mpsc::channel(4);
        let sends = async move {
            tx.send_with_current_context("current").await.unwrap();
            tx.send_parent_only("parent").await.unwrap();
        };
        tokio::spawn(sends).await.unwrap();
        assert_eq!(rx.try_recv().unwrap().into_inner(), "current");
    });
}

#[test]
fn broadcast_fans_out_one_context() {
    let (tx, rx) = broadcast::channel(4);
    let receivers = [tx.subscribe(), tx.subscribe(), rx];
    tagged("sender").run(|| tx.send_with_current_context(1)).unwrap();
    let seen = receivers.map(|mut rx| rx.try_recv().unwrap().run(|n| (n, tag())));
    assert_eq!(seen, [(1, Some("sender")); 3]);
}
