//! Sinks: ready, send, flush and close inside, and the drop too.

mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    pin::Pin,
    task::{Context, Poll},
};

use ctxhop::prelude::*;
use futures::{Sink, SinkExt, executor::block_on};
use support::{Case, Ended, Fate, Probe, SUBMITTED, Submitted, assert_stranger, stranger};

/// Notes each call, and comes to the case's end when the number 3 is sent.
struct Notes {
    probe: Probe,
    fate: Fate,
}

impl Sink<u32> for Notes {
    type Error = &'static str;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.probe.saw("ready");
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: u32) -> Result<(), Self::Error> {
        self.probe.saw("send");
        match (item, self.fate) {
            (3, Fate::Errors) => Err("no"),
            (3, Fate::Panics) => panic_any("job's own panic"),
            _ => Ok(()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.probe.saw("flush");
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.probe.saw("close");
        Poll::Ready(Ok(()))
    }
}

type BoxSink = Pin<Box<dyn Sink<u32, Error = &'static str> + Send>>;

#[test]
fn matrix() {
    let _guard = stranger().attach();
    for fate in [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway] {
        for submitted in SUBMITTED {
            let case = Case::new("sink", submitted, fate);
            let notes = Notes { probe: case.probe(), fate };
            let sink: BoxSink = if submitted == Submitted::Twice {
                Box::pin(notes.with_context(case.inner_context()))
            } else {
                Box::pin(notes)
            };
            let mut sink = case.submit(|| sink.with_current_context());

            let (ended, calls): (_, &[_]) = match fate {
                Fate::Unstarted => (Ended::Gone, &[]),
                Fate::Midway => {
                    block_on(sink.feed(1)).unwrap();
                    assert_stranger("between two calls");
                    (Ended::Gone, &["ready", "send"])
                }
                Fate::Completes => {
                    block_on(sink.send(3)).unwrap();
                    block_on(sink.close()).unwrap();
                    (Ended::Returned(Ok(7)), &["ready", "send", "flush", "close"])
                }
                _ => {
                    let sent = catch_unwind(AssertUnwindSafe(|| block_on(sink.feed(3))));
                    assert_stranger("after a failed send");
                    (Ended::from_unwind(sent.map(|sent| sent.map(|()| 7))), &["ready", "send"])
                }
            };
            drop(sink);

            case.assert_ended(ended);
            case.assert_saw(calls);
            case.assert_released();
            assert_stranger(&case.name);
        }
    }
}
