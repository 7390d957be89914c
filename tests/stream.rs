//! Streams: every `poll_next` inside, and the context let go at the end.

mod support;

use std::{panic::AssertUnwindSafe, task::Poll};

use ctxhop::prelude::*;
use futures::{
    FutureExt as _, Stream, StreamExt,
    executor::block_on,
    stream::{self, FusedStream},
};
use support::{Case, Ended, Fate, Output, SUBMITTED, Submitted, assert_stranger, stranger, tag, tagged};

/// Yields 0, 1, 2 and then comes to the case's end.
fn numbers(case: &Case) -> impl Stream<Item = Output> + Unpin + Send + use<> {
    let (probe, end) = (case.probe(), case.end());
    let mut end = Some(end);
    let mut n = 0;
    stream::poll_fn(move |_| {
        probe.saw("poll");
        n += 1;
        match n {
            ..3 => Poll::Ready(Some(Ok(n))),
            3 => match end.take().expect("once")() {
                Ok(_) => Poll::Ready(None),
                error => Poll::Ready(Some(error)),
            },
            _ => Poll::Ready(None),
        }
    })
}

#[test]
fn matrix() {
    let _guard = stranger().attach();
    for fate in [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway] {
        for submitted in SUBMITTED {
            let case = Case::new("stream", submitted, fate);
            let numbers = numbers(&case);
            let stream: stream::BoxStream<'static, Output> = if submitted == Submitted::Twice {
                numbers.with_context(case.inner_context()).boxed()
            } else {
                numbers.boxed()
            };
            let mut stream = case.submit(|| stream.with_current_context());

            let (ended, polls) = match fate {
                Fate::Unstarted => (Ended::Gone, 0),
                Fate::Midway => {
                    assert_eq!(block_on(stream.next()), Some(Ok(1)));
                    assert_stranger("between two polls");
                    (Ended::Gone, 1)
                }
                _ => {
                    let items = block_on(AssertUnwindSafe(stream.by_ref().collect::<Vec<_>>()).catch_unwind());
                    assert_stranger("after the stream's end");
                    match items {
                        Ok(items) if fate == Fate::Completes => {
                            assert_eq!(items, [Ok(1), Ok(2)]);
                            (Ended::Returned(Ok(7)), 3)
                        }
                        Ok(items) => {
                            assert_eq!(items[..2], [Ok(1), Ok(2)]);
                            (Ended::Returned(items[2]), 4)
                        }
                        Err(payload) => (Ended::from_unwind(Err(payload)), 3),
                    }
                }
            };
            drop(stream);

            case.assert_ended(ended);
            case.assert_saw(&["poll"; 4][..polls]);
            case.assert_released();
            assert_stranger(&case.name);
        }
    }
}

#[test]
fn keeps_its_context_after_an_end() {
    // `FuturesUnordered` ends when it is empty, and goes on when it is filled again.
    let mut tasks = stream::FuturesUnordered::new().with_context(tagged("bound"));
    let _guard = stranger().attach();
    for _ in 0..2 {
        tasks.inner_mut().push(async { tag() }.boxed());
        assert_eq!(block_on(tasks.next()), Some(Some("bound")));
        assert_eq!(block_on(tasks.next()), None);
        assert!(tasks.is_terminated(), "which is not for good");
    }
}

#[test]
fn an_ended_stream_that_is_taken_out_holds_no_context() {
    let case = Case::new("into_inner", Submitted::Set, Fate::Completes);
    let mut ended = case.submit(|| stream::empty::<()>().with_current_context());
    assert_eq!(block_on(ended.next()), None);
    let _still_there = ended.into_inner();
    case.assert_released();
}

#[test]
fn what_take_leaves_unfinished_is_dropped_inside() {
    let case = Case::new("take", Submitted::Set, Fate::Completes);
    let probe = case.probe();
    let endless = stream::repeat_with(move || probe.saw("poll"));
    let taken = case.submit(|| endless.take(1).with_current_context());
    let _guard = stranger().attach();
    assert_eq!(block_on(taken.collect::<Vec<_>>()).len(), 1);
    case.assert_saw(&["poll"]);
    case.assert_released();
}

#[test]
fn size_hint_and_is_terminated_are_the_inner_streams() {
    let mut stream = stream::iter(0..3).fuse().with_current_context();
    assert_eq!(stream.size_hint(), (3, Some(3)));
    assert!(!stream.is_terminated());
    assert_eq!(block_on(stream.by_ref().count()), 3);
    assert!(stream.is_terminated());
    assert_eq!(stream.size_hint(), (0, Some(0)));
}

#[test]
fn adaptors_keep_their_names() {
    // No method of `WithContext` hides one of `StreamExt`.
    let seen: Vec<_> = block_on(
        stream::iter(0..4)
            .map(|n| (n, tag()))
            .with_context(tagged("in"))
            .map(|(n, inside)| (n, inside, tag()))
            .filter(|(n, ..)| std::future::ready(n % 2 == 0))
            .then(async |item| item)
            .collect(),
    );
    assert_eq!(seen, [(0, Some("in"), None), (2, Some("in"), None)]);
}
