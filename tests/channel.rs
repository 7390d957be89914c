//! Channels: each way of sending is a row.

mod support;

use std::{
    any::Any,
    sync::mpsc as std_mpsc,
    time::{Duration, Instant, SystemTime},
};

use ctxhop::{WithContext, prelude::*, testing::TraceRecorder, tracing::prelude::*};
use futures::{channel as futures_channel, executor::block_on, poll};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use support::{Case, Channel, Fate, Message, Submitted, assert_stranger, check_channel, stranger, tag, tagged};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Declares a row: how to send a message and receive it, how to send it and leave it, how a send of it is refused.
macro_rules! row {
    ($row:ident, $name:literal, $message:ident, pass: $pass:expr, fill: $fill:expr, refuse: [$($refuse:expr),* $(,)?]) => {
        struct $row;

        impl Channel for $row {
            const NAME: &'static str = $name;

            fn pass<T: Message>($message: T) -> WithContext<T> {
                $pass
            }

            fn fill<T: Message>($message: T) -> Box<dyn Any> {
                Box::new($fill)
            }

            fn refuse<T: Message>($message: T) -> T {
                $(let $message: T = $refuse;)*
                $message
            }
        }
    };
}

row!(StdSender, "std Sender::send", message,
    pass: {
        let (tx, rx) = std_mpsc::channel();
        tx.send_with_current_context(message).unwrap();
        rx.recv().unwrap()
    },
    fill: {
        let (tx, rx) = std_mpsc::channel();
        tx.send_with_current_context(message).unwrap();
        (tx, rx)
    },
    refuse: [closed(std_mpsc::channel()).send_with_current_context(message).unwrap_err().0]);

row!(StdSyncSender, "std SyncSender::send", message,
    pass: {
        let (tx, rx) = std_mpsc::sync_channel(1);
        tx.send_with_current_context(message).unwrap();
        rx.recv().unwrap()
    },
    fill: {
        let (tx, rx) = std_mpsc::sync_channel(1);
        tx.send_with_current_context(message).unwrap();
        (tx, rx)
    },
    refuse: [closed(std_mpsc::sync_channel(1)).send_with_current_context(message).unwrap_err().0]);

row!(StdTrySend, "std SyncSender::try_send", message,
pass: {
    let (tx, rx) = std_mpsc::sync_channel(1);
    tx.try_send_with_current_context(message).unwrap();
    rx.recv().unwrap()
},
fill: {
    let (tx, rx) = std_mpsc::sync_channel(1);
    tx.try_send_with_current_context(message).unwrap();
    (tx, rx)
},
refuse: [
    match closed(std_mpsc::sync_channel(1)).try_send_with_current_context(message).unwrap_err() {
        std_mpsc::TrySendError::Disconnected(message) => message,
        full => panic!("{full:?}"),
    },
    {
        let (tx, _rx) = std_mpsc::sync_channel(0);
        match tx.try_send_with_current_context(message).unwrap_err() {
            std_mpsc::TrySendError::Full(message) => message,
            closed => panic!("{closed:?}"),
        }
    },
]);

row!(CrossbeamSend, "crossbeam Sender::send", message,
    pass: {
        let (tx, rx) = crossbeam_channel::bounded(1);
        tx.send_with_current_context(message).unwrap();
        crossbeam_channel::select! { recv(rx) -> message => message.unwrap() }
    },
    fill: {
        let (tx, rx) = crossbeam_channel::unbounded();
        tx.send_with_current_context(message).unwrap();
        (tx, rx)
    },
    refuse: [closed(crossbeam_channel::unbounded()).send_with_current_context(message).unwrap_err().0]);

row!(CrossbeamTrySend, "crossbeam Sender::try_send", message,
pass: {
    let (tx, rx) = crossbeam_channel::bounded(1);
    tx.try_send_with_current_context(message).unwrap();
    rx.try_iter().next().unwrap()
},
fill: {
    let (tx, rx) = crossbeam_channel::bounded(1);
    tx.try_send_with_current_context(message).unwrap();
    (tx, rx)
},
refuse: [
    match closed(crossbeam_channel::bounded(1)).try_send_with_current_context(message).unwrap_err() {
        crossbeam_channel::TrySendError::Disconnected(message) => message,
        full => panic!("{full:?}"),
    },
    {
        let (tx, _rx) = crossbeam_channel::bounded(0);
        match tx.try_send_with_current_context(message).unwrap_err() {
            crossbeam_channel::TrySendError::Full(message) => message,
            closed => panic!("{closed:?}"),
        }
    },
]);

row!(CrossbeamSendTimeout, "crossbeam Sender::send_timeout", message,
pass: {
    let (tx, rx) = crossbeam_channel::bounded(1);
    tx.send_timeout_with_current_context(message, Duration::ZERO).unwrap();
    rx.recv().unwrap()
},
fill: {
    let (tx, rx) = crossbeam_channel::bounded(1);
    tx.send_timeout_with_current_context(message, Duration::ZERO).unwrap();
    (tx, rx)
},
refuse: [
    {
        let (tx, _) = crossbeam_channel::bounded(1);
        match tx.send_timeout_with_current_context(message, Duration::ZERO).unwrap_err() {
            crossbeam_channel::SendTimeoutError::Disconnected(message) => message,
            timeout => panic!("{timeout:?}"),
        }
    },
    {
        let (tx, _rx) = crossbeam_channel::bounded(0);
        match tx.send_timeout_with_current_context(message, Duration::ZERO).unwrap_err() {
            crossbeam_channel::SendTimeoutError::Timeout(message) => message,
            closed => panic!("{closed:?}"),
        }
    },
]);

row!(CrossbeamSendDeadline, "crossbeam Sender::send_deadline", message,
pass: {
    let (tx, rx) = crossbeam_channel::bounded(1);
    tx.send_deadline_with_current_context(message, Instant::now()).unwrap();
    rx.recv().unwrap()
},
fill: {
    let (tx, rx) = crossbeam_channel::bounded(1);
    tx.send_deadline_with_current_context(message, Instant::now()).unwrap();
    (tx, rx)
},
refuse: [{
    let (tx, _rx) = crossbeam_channel::bounded(0);
    tx.send_deadline_with_current_context(message, Instant::now()).unwrap_err().into_inner()
}]);

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

/// The sender of a channel that nobody receives from.
fn closed<Tx, Rx>((tx, _rx): (Tx, Rx)) -> Tx {
    tx
}

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

row!(TokioWatch, "tokio watch Sender::send", message,
pass: {
    let (tx, rx) = watch::channel(None.detached());
    tx.send_with_current_context(Some(message)).unwrap();
    let message = rx.borrow().clone();
    message.map_inner(|message| message.expect("just sent"))
},
fill: {
    let (tx, rx) = watch::channel(None.detached());
    tx.send_with_current_context(Some(message)).unwrap();
    (tx, rx)
},
refuse: [{
    let (tx, _) = watch::channel(None.detached());
    tx.send_with_current_context(Some(message)).unwrap_err().0.expect("what was sent")
}]);

row!(FuturesTrySend, "futures mpsc Sender::try_send", message,
pass: {
    let (mut tx, mut rx) = futures_channel::mpsc::channel(1);
    tx.try_send_with_current_context(message).unwrap();
    rx.try_recv().unwrap()
},
fill: {
    let (mut tx, rx) = futures_channel::mpsc::channel(1);
    tx.try_send_with_current_context(message).unwrap();
    (tx, rx)
},
refuse: [{
    let (mut tx, _) = futures_channel::mpsc::channel(1);
    let error = tx.try_send_with_current_context(message).unwrap_err();
    assert!(error.is_disconnected());
    error.into_inner().into_inner()
}]);

row!(TokioWatchReplace, "tokio watch Sender::send_replace", message,
pass: {
    let (tx, rx) = watch::channel(None.detached());
    assert!(tx.send_replace_with_current_context(Some(message)).into_inner().is_none());
    let message = rx.borrow().clone();
    message.map_inner(|message| message.expect("just sent"))
},
fill: {
    let (tx, rx) = watch::channel(None.detached());
    drop(tx.send_replace_with_current_context(Some(message)));
    (tx, rx)
},
refuse: []);

row!(TokioWatchModify, "tokio watch Sender::send_modify", message,
pass: {
    let (tx, rx) = watch::channel(None.detached());
    tx.send_modify_with_current_context(|value| *value = Some(message));
    let message = rx.borrow().clone();
    message.map_inner(|message| message.expect("just sent"))
},
fill: {
    let (tx, rx) = watch::channel(None.detached());
    assert!(tx.send_if_modified_with_current_context(|value| value.replace(message).is_none()));
    (tx, rx)
},
refuse: []);

row!(FuturesSend, "futures mpsc Sender, SinkExt::send", message,
pass: {
    let (mut tx, mut rx) = futures_channel::mpsc::channel(1);
    block_on(tx.send_with_current_context(message)).unwrap();
    rx.try_recv().unwrap()
},
fill: {
    let (mut tx, rx) = futures_channel::mpsc::channel(1);
    block_on(tx.send_with_current_context(message)).unwrap();
    (tx, rx)
},
refuse: [{
    let (mut tx, _) = futures_channel::mpsc::channel(1);
    let error = block_on(tx.send_with_current_context(message)).unwrap_err();
    assert!(error.is_disconnected());
    error.into_inner().into_inner()
}]);

row!(FuturesUnboundedSend, "futures mpsc UnboundedSender::unbounded_send", message,
pass: {
    let (tx, mut rx) = futures_channel::mpsc::unbounded();
    tx.send_with_current_context(message).unwrap();
    rx.try_recv().unwrap()
},
fill: {
    let (tx, rx) = futures_channel::mpsc::unbounded();
    tx.send_with_current_context(message).unwrap();
    (tx, rx)
},
refuse: [{
    closed(futures_channel::mpsc::unbounded()).send_with_current_context(message).unwrap_err().into_inner().into_inner()
}]);

row!(FuturesOneshot, "futures oneshot Sender::send", message,
    pass: {
        let (tx, mut rx) = futures_channel::oneshot::channel();
        tx.send_with_current_context(message).unwrap();
        rx.try_recv().unwrap().unwrap()
    },
    fill: {
        let (tx, rx) = futures_channel::oneshot::channel();
        tx.send_with_current_context(message).unwrap();
        rx
    },
    refuse: [closed(futures_channel::oneshot::channel()).send_with_current_context(message).unwrap_err()]);

// A channel that the crate knows nothing of.
row!(AsyncChannel, "async-channel, bound by hand", message,
pass: {
    let (tx, rx) = async_channel::bounded(1);
    tx.try_send(message.with_current_context()).unwrap();
    rx.try_recv().unwrap()
},
fill: {
    let (tx, rx) = async_channel::bounded(1);
    tx.try_send(message.with_current_context()).unwrap();
    (tx, rx)
},
refuse: [{
    closed(async_channel::bounded(1)).try_send(message.with_current_context()).unwrap_err().into_inner().into_inner()
}]);

const UNREFUSED: &[Fate] = &[Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted];
const FATES: &[Fate] = &[Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Refused];

#[test]
fn matrix_of_std() {
    check_channel::<StdSender>(FATES);
    check_channel::<StdSyncSender>(FATES);
    check_channel::<StdTrySend>(FATES);
}

#[test]
fn matrix_of_crossbeam() {
    check_channel::<CrossbeamSend>(FATES);
    check_channel::<CrossbeamTrySend>(FATES);
    check_channel::<CrossbeamSendTimeout>(FATES);
    check_channel::<CrossbeamSendDeadline>(FATES);
}

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
fn matrix_of_futures() {
    check_channel::<FuturesSend>(FATES);
    check_channel::<FuturesTrySend>(FATES);
    check_channel::<FuturesUnboundedSend>(FATES);
    check_channel::<FuturesOneshot>(FATES);
}

#[test]
fn matrix_of_a_channel_bound_by_hand() {
    check_channel::<AsyncChannel>(FATES);
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

/// The future is ready when `SinkExt::send`'s is: once there is room for the next message, too.
#[test]
fn a_send_over_futures_channel_waits_as_a_sinks_does() {
    block_on(async {
        let _guard = stranger().attach();
        let case = Case::new("futures mpsc Sender::send", Submitted::Set, Fate::Midway);
        let (mut tx, mut rx) = futures_channel::mpsc::channel(0);

        let mut first = Box::pin(tagged("call").run(|| tx.send_with_current_context(None)));
        assert!(poll!(&mut first).is_pending(), "sent, and not received yet");
        drop(first);

        let mut second = Box::pin(case.submit(|| tx.send_with_current_context(Some(case.probe()))));
        assert!(poll!(&mut second).is_pending(), "no room");
        drop(second);
        case.assert_saw(&[]);
        case.assert_released();

        assert_eq!(rx.try_recv().unwrap().run(|_| tag()), Some("call"));
        assert!(rx.try_recv().is_err(), "the second one was not sent");
        assert_stranger("after sends");

        let mut third = Box::pin(tx.send_with_current_context(None));
        assert!(poll!(&mut third).is_pending(), "sent, and not received yet");
        drop(rx);
        assert!(
            matches!(poll!(&mut third), std::task::Poll::Ready(Ok(()))),
            "it was sent before the channel was closed"
        );
    });
}

#[test]
fn a_watch_whose_value_is_not_modified_keeps_its_context() {
    let (tx, rx) = watch::channel(1.with_context(tagged("first")));
    let seen = || rx.borrow().run_ref(|n| (*n, tag()));
    tagged("second").run(|| assert!(!tx.send_if_modified_with_current_context(|_| false)));
    assert_eq!(seen(), (1, Some("first")));

    let panics = || tagged("second").run(|| tx.send_modify_with_current_context(|_| std::panic::panic_any("own")));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"own"));
    assert_eq!(seen(), (1, Some("first")));

    tagged("second").run(|| tx.send_modify_with_current_context(|n| *n += 1));
    assert_eq!(seen(), (2, Some("second")));
}

#[test]
fn a_watch_is_modified_in_the_callers_context_and_gives_the_old_value_with_its_own() {
    let _guard = stranger().attach();
    let (tx, rx) = watch::channel(1.with_context(tagged("first")));
    let modify = |n: &mut u32| {
        assert_stranger("in `modify`");
        *n += 1;
    };
    tx.send_modify_with_context(tagged("second"), modify);
    let modified = tx.send_if_modified_with_context(tagged("third"), |n| {
        modify(n);
        true
    });
    assert!(modified);
    assert_eq!(rx.borrow().run_ref(|n| (*n, tag())), (3, Some("third")));

    let old = tx.send_replace_with_context(tagged("fourth"), 4);
    assert_eq!(old.run(|n| (n, tag())), (3, Some("third")));
}

/// A span processor may look at the channel whose message has kept the span open.
#[test]
fn a_watch_lets_the_previous_context_go_after_its_lock() {
    struct Looks(watch::Receiver<WithContext<u32>>, std_mpsc::Sender<u32>);

    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.send(*self.0.borrow().inner()).unwrap();
        }
    }

    let (looked, seen) = std_mpsc::channel();
    let (tx, rx) = watch::channel(1.detached());
    tx.send_with_context(Context::new().with_value(Looks(rx, looked)), 2).unwrap();
    std::thread::spawn(move || tx.send_modify_with_context(Context::new(), |n| *n += 1));
    assert_eq!(seen.recv_timeout(Duration::from_secs(10)), Ok(3), "not locked");
}

/// The walker's spans grew from microseconds to milliseconds when its results went over a channel.
#[test]
fn a_message_that_waits_keeps_its_senders_span_open_unless_it_carries_the_parent_only() {
    type Send = fn(&std_mpsc::Sender<WithContext<()>>);
    let sends: [(Send, bool); 2] =
        [(|tx| tx.send_with_current_context(()).unwrap(), true), (|tx| tx.send_parent_only(()).unwrap(), false)];
    for (send, holds) in sends {
        let recorder = TraceRecorder::new();
        let tracer = recorder.tracer("walker");
        let (tx, rx) = std_mpsc::channel();

        let walk = Context::new().with_span(tracer.start("walk"));
        walk.run(|| send(&tx));
        drop(walk);
        let sent = SystemTime::now();
        let open: Vec<_> = recorder.open_spans().iter().map(|span| span.name.clone()).collect();
        assert_eq!(open, if holds { vec!["walk"] } else { vec![] });

        rx.recv().unwrap().run(|()| drop(tracer.start("visit")));
        let spans = recorder.spans();
        let [walk, visit] = ["walk", "visit"].map(|name| spans.iter().find(|span| span.name == name).unwrap());
        assert_eq!(visit.parent_span_id, walk.span_context.span_id());
        assert_eq!(walk.end_time > sent, holds, "{:?} after the send", walk.end_time.duration_since(sent));
        recorder.tree().assert_single_trace();
    }
}

#[test]
fn broadcast_fans_out_one_context() {
    let (tx, rx) = broadcast::channel(4);
    let receivers = [tx.subscribe(), tx.subscribe(), rx];
    tagged("sender").run(|| tx.send_with_current_context(1)).unwrap();
    let seen = receivers.map(|mut rx| rx.try_recv().unwrap().run(|n| (n, tag())));
    assert_eq!(seen, [(1, Some("sender")); 3]);
}

#[test]
fn a_competing_consumer_sees_each_messages_own_context() {
    let (tx, rx) = crossbeam_channel::unbounded();
    for name in ["a", "b", "c"] {
        tagged(name).run(|| tx.send_with_current_context(name)).unwrap();
    }
    drop(tx);
    let _guard = stranger().attach();
    for message in rx {
        message.run(|name| assert_eq!(tag(), Some(name)));
        assert_stranger("after a message");
    }
}

/// A value that looks at the channel when it is dropped, as a processor may when a span ends.
struct LooksAtChannel(tokio::sync::watch::Receiver<WithContext<u32>>);

impl Drop for LooksAtChannel {
    fn drop(&mut self) {
        // Waits for ever where the channel is locked.
        drop(self.0.borrow());
    }
}

#[test]
fn a_context_that_a_watch_does_not_take_is_dropped_outside_its_lock() {
    let (tx, rx) = tokio::sync::watch::channel(0.detached());
    let looking = || Context::new().with_value(LooksAtChannel(rx.clone()));
    assert!(!tx.send_if_modified_with_context(looking(), |_| false));
    let panics = || tx.send_if_modified_with_context(looking(), |_| panic!("on purpose"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    assert!(tx.send_if_modified_with_context(looking(), |_| true));
    assert!(tx.send_if_modified_with_context(Context::new(), |_| true));
}
