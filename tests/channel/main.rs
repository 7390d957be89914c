//! Channels: each way of sending is a row. The rows of a library are in its module; here is what holds of any channel.

#[path = "../support/mod.rs"]
mod support;

/// Declares a row: how to send a message and receive it, how to send it and leave it, how a send of it is refused.
macro_rules! row {
    ($row:ident, $name:literal, $message:ident, pass: $pass:expr, fill: $fill:expr, refuse: [$($refuse:expr),* $(,)?]) => {
        pub(crate) struct $row;

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

mod blocking;
mod futures;
mod tokio;
mod watch;

use std::{any::Any, sync::mpsc as std_mpsc, time::SystemTime};

use ctxhop::{WithContext, prelude::*, testing::TraceRecorder};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use support::{Channel, Fate, Message, assert_stranger, check_channel, stranger, tag, tagged};

/// The sender of a channel that nobody receives from.
fn closed<Tx, Rx>((tx, _rx): (Tx, Rx)) -> Tx {
    tx
}

const UNREFUSED: &[Fate] = &[Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted];
const FATES: &[Fate] = &[Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Refused];

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

#[test]
fn matrix_of_a_channel_bound_by_hand() {
    check_channel::<AsyncChannel>(FATES);
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
