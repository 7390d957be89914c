//! The channels of futures.

use std::any::Any;

use ctxhop::{WithContext, prelude::*};
use futures::{channel as futures_channel, executor::block_on, poll};

use crate::{
    FATES, closed,
    support::{Case, Channel, Fate, Message, Submitted, assert_stranger, check_channel, stranger, tag, tagged},
};

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

#[test]
fn matrix_of_futures() {
    check_channel::<FuturesSend>(FATES);
    check_channel::<FuturesTrySend>(FATES);
    check_channel::<FuturesUnboundedSend>(FATES);
    check_channel::<FuturesOneshot>(FATES);
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
