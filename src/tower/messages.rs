use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{self, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use pin_project_lite::pin_project;

use super::side::Side;
use crate::conventions::message;

/// What a layer says of the messages of gRPC's streams. They are counted by their framing, whatever frames they come in.
///
/// The names are those of OpenTelemetry's instrumentation for Java, because the conventions have none any more. The
/// response's messages are counted by the layer alone; for the request's, see
/// [`request_body`](super::TraceLayer::request_body).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Messages {
    /// Nothing.
    #[default]
    Ignore,
    /// Their number, as `grpc.sent.message_count` and `grpc.received.message_count` on the span.
    Count,
    /// Their number, and an event `message` for each, with its `message.type`, `SENT` or `RECEIVED`, and its
    /// `message.id`, which counts from 1 for each type.
    Events,
}

/// How many messages have gone by so far.
#[derive(Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    pub(super) fn attributes(&self) -> [KeyValue; 2] {
        let count = |counter: &AtomicU64| i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        [
            KeyValue::new(message::SENT_COUNT, count(&self.sent)),
            KeyValue::new(message::RECEIVED_COUNT, count(&self.received)),
        ]
    }
}

/// Which way a body goes.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Sent,
    Received,
}

impl Direction {
    pub(super) const fn of_request(side: Side) -> Self {
        match side {
            Side::Server => Self::Received,
            Side::Client => Self::Sent,
        }
    }

    pub(super) const fn of_response(side: Side) -> Self {
        match side {
            Side::Server => Self::Sent,
            Side::Client => Self::Received,
        }
    }
}

/// Counts the messages of one body.
pub(super) struct Counter {
    counts: Arc<Counts>,
    direction: Direction,
    events: bool,
    framing: Framing,
}

impl Counter {
    pub(super) fn new(counts: Arc<Counts>, direction: Direction, messages: Messages) -> Self {
        Self { counts, direction, events: messages == Messages::Events, framing: Framing::default() }
    }

    /// The events go to the span that is current: the body is polled inside of its own.
    fn feed(&mut self, bytes: &[u8]) {
        let complete = self.framing.feed(bytes);
        if complete == 0 {
            return;
        }
        let (counter, kind) = match self.direction {
            Direction::Sent => (&self.counts.sent, "SENT"),
            Direction::Received => (&self.counts.received, "RECEIVED"),
        };
        let before = counter.fetch_add(complete, Ordering::Relaxed);
        if self.events {
            for id in before + 1..=before + complete {
                let id = KeyValue::new(message::ID, i64::try_from(id).unwrap_or(i64::MAX));
                let attributes = vec![KeyValue::new(message::TYPE, kind), id];
                Context::map_current(|cx| cx.span().add_event(message::EVENT, attributes));
            }
        }
    }
}

/// gRPC's framing: a byte of flags, four of length, and as many bytes of message.
#[derive(Default)]
struct Framing {
    /// How many bytes of the prefix have been seen.
    prefix: u8,
    length: u32,
    /// How many bytes of the message are still to come.
    left: u32,
}

impl Framing {
    const PREFIX: u8 = 5;

    /// How many messages have become complete.
    fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut complete = 0;
        loop {
            if self.prefix < Self::PREFIX {
                let Some((byte, rest)) = bytes.split_first() else { return complete };
                bytes = rest;
                self.prefix += 1;
                // The flags, which come first, are pushed out by the length.
                self.length = (self.length << 8) | u32::from(*byte);
                if self.prefix < Self::PREFIX {
                    continue;
                }
                self.left = self.length;
            }
            let seen = bytes.len().min(self.left as usize);
            bytes = &bytes[seen..];
            self.left -= seen as u32;
            if self.left > 0 {
                return complete;
            }
            complete += 1;
            *self = Self::default();
        }
    }
}

pin_project! {
    /// A body whose messages are counted, if they are to be.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        counter: Option<Counter>,
    }
}

impl<B> Counted<B> {
    pub(super) const fn new(body: B, counter: Option<Counter>) -> Self {
        Self { body, counter }
    }
}

impl<B: Body<Data: AsRef<[u8]>>> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(task));
        if let (Some(counter), Some(Ok(frame))) = (this.counter, &frame) {
            if let Some(data) = frame.data_ref() {
                counter.feed(data.as_ref());
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::Framing;

    /// Three messages, one of them empty, cut into pieces of every size.
    #[test]
    fn messages_are_counted_across_frames_of_any_size() {
        let mut bytes = vec![0, 0, 0, 0, 3, 1, 2, 3];
        bytes.extend([1, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 1, 0]);
        bytes.extend([7; 256]);
        for size in 1..=bytes.len() {
            let mut framing = Framing::default();
            let complete: u64 = bytes.chunks(size).map(|piece| framing.feed(piece)).sum();
            assert_eq!(complete, 3, "in pieces of {size}");
            assert_eq!(framing.feed(&[0, 0]), 0, "in pieces of {size}");
        }
    }
}
