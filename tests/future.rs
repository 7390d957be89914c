//! Futures: the matrix for a future polled by hand, and what only futures have.

mod support;

use std::{
    future::{poll_fn, ready},
    panic::AssertUnwindSafe,
    pin::pin,
    task::Poll,
};

use ctxhop::prelude::*;
use futures::{FutureExt as _, executor::block_on, future::FusedFuture, poll};
use support::{Ended, Fate, Probe, assert_stranger, check_future, stranger, tag, tagged};

const FATES: [Fate; 5] = [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway];

#[test]
fn matrix() {
    let _guard = stranger().attach();
    block_on(check_future("polled by hand", &FATES, async |case, task, mut remote| {
        let mut task = case.submit(|| task.with_current_context());
        if case.fate == Fate::Unstarted {
            drop(task);
            return Ended::Gone;
        }
        assert!(poll!(&mut task).is_pending());
        assert_stranger("between two polls");
        if case.fate == Fate::Midway {
            drop(task);
            return Ended::Gone;
        }
        remote.go();
        let ended = AssertUnwindSafe(&mut task).catch_unwind().await;
        assert_stranger("after the last poll");
        if ended.is_ok() {
            case.assert_released(); // although the task is still there
        }
        Ended::from_unwind(ended)
    }));
}

#[test]
fn matrix_of_run_async() {
    let _guard = stranger().attach();
    block_on(check_future("run_async", &FATES, async |case, task, mut remote| {
        let message = case.submit(|| task.with_current_context());
        let mut task = message.run_async(|task| task);
        if case.fate == Fate::Unstarted {
            return Ended::Gone;
        }
        assert!(poll!(&mut task).is_pending());
        if case.fate == Fate::Midway {
            return Ended::Gone;
        }
        remote.go();
        Ended::from_unwind(AssertUnwindSafe(&mut task).catch_unwind().await)
    }));
}

#[test]
fn captures_at_the_call_and_not_at_the_first_poll() {
    let task = tagged("call").run(|| async { tag() }.with_current_context());
    let _guard = tagged("poll").attach();
    assert_eq!(block_on(task), Some("call"));
}

#[test]
fn what_a_ready_future_still_holds_is_dropped_inside() {
    struct Loser(Probe);
    let case = support::Case::new("timeout", support::Submitted::Set, Fate::Completes);
    let loser = Loser(case.probe());
    // Ready without having finished what it owns, as a timeout is.
    let mut elapsed = case.submit(|| {
        poll_fn(move |_| {
            loser.0.saw("poll");
            Poll::Ready(())
        })
        .with_current_context()
    });

    let _guard = stranger().attach();
    block_on(&mut elapsed);
    case.assert_saw(&["poll"]);
    case.assert_released();
}

#[test]
fn a_done_future_in_join_all_holds_no_context() {
    let case = support::Case::new("join_all", support::Submitted::Set, Fate::Completes);
    let (go, wait) = futures::channel::oneshot::channel::<()>();
    let done = case.submit(|| async {}.boxed().with_current_context()).map(|()| ());
    let all = futures::future::join_all([done.boxed(), wait.map(drop).boxed()]);
    let mut all = pin!(all);

    assert!(block_on(async { poll!(&mut all) }).is_pending());
    case.assert_released();
    go.send(()).unwrap();
    block_on(all);
}

#[test]
fn is_terminated_as_the_inner_future_is() {
    let (tx, rx) = futures::channel::oneshot::channel();
    let mut rx = rx.with_current_context();
    assert!(!rx.is_terminated());
    tx.send(1).unwrap();
    assert_eq!(block_on(&mut rx), Ok(1));
    assert!(rx.is_terminated());

    assert!(futures::future::Fuse::<futures::future::Ready<()>>::terminated().with_current_context().is_terminated());
}

#[test]
#[should_panic(expected = "`WithContext` polled after completion")]
fn polling_after_completion_panics() {
    let mut task = ready(1).with_current_context();
    block_on(&mut task);
    block_on(&mut task);
}

#[test]
fn outlives_the_scope_that_made_it() {
    let task = {
        let _guard = tagged("gone").attach();
        async { tag() }.with_current_context()
    };
    assert_eq!(tag(), None);
    assert_eq!(block_on(task), Some("gone"));
}
