//! The channels of threads: those of std and crossbeam.

use std::{
    any::Any,
    sync::mpsc as std_mpsc,
    time::{Duration, Instant},
};

use ctxhop::{WithContext, prelude::*};

use crate::{
    FATES, closed,
    support::{Channel, Message, check_channel},
};

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
