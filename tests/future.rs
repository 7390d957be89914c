//! Futures: the matrix for a future polled by hand, and what only futures have.

mod support;

use std::{
    future::{poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{self, Poll},
};

use ctxhop::prelude::*;
use futures::{FutureExt as _, executor::block_on, future::FusedFuture, poll};
use opentelemetry::Context;
use support::{Case, Ended, Fate, Probe, Submitted, Task, assert_stranger, check_future, stranger, tag, tagged};

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

/// A row: how a task is run asynchronously in its context, with a closure that makes it.
async fn check_run_async<F: Future<Output = support::Output> + Unpin>(name: &str, run: impl Fn(&Case, Task) -> F) {
    check_future(name, &FATES, async |case, task, mut remote| {
        let mut task = run(case, task);
        if case.fate == Fate::Unstarted {
            return Ended::Gone;
        }
        assert!(poll!(&mut task).is_pending());
        assert_stranger("between two polls");
        if case.fate == Fate::Midway {
            return Ended::Gone;
        }
        remote.go();
        let ended = AssertUnwindSafe(&mut task).catch_unwind().await;
        assert_stranger("after the last poll");
        if ended.is_ok() {
            case.assert_released(); // although the future is still there
        }
        Ended::from_unwind(ended)
    })
    .await;
}

#[test]
fn matrix_of_run_async() {
    let _guard = stranger().attach();
    block_on(check_run_async("message.run_async", |case, task| {
        case.submit(|| task.with_current_context()).run_async(|task| task)
    }));
    block_on(check_run_async("cx.run_async", |case, task| case.submit(Context::capture).run_async(|| task)));
}

#[test]
fn run_async_calls_its_closure_at_the_first_poll_inside() {
    fn work(probe: Probe) -> impl Future<Output = ()> {
        probe.saw("made");
        async move { probe.saw("polled") }
    }
    fn check(case: &Case, run: impl Future<Output = ()>) {
        let outer = std::mem::ManuallyDrop::new(case.probe());
        let _guard = stranger().attach();
        let run = run.inspect(|()| case.assert_released()); // with the future still there
        outer.saw("before the first poll");
        block_on(run);
        let seen = case.events();
        assert_eq!(seen[0], ("before the first poll", Some("stranger")), "{}", case.name);
        assert_eq!(
            seen[1..],
            [("made", Some("submitted")), ("polled", Some("submitted")), ("drop", Some("submitted"))]
        );
    }
    let case = Case::new("cx.run_async", Submitted::Set, Fate::Completes);
    let probe = case.probe();
    check(&case, case.submit(Context::capture).run_async(|| work(probe)));
    let case = Case::new("message.run_async", Submitted::Set, Fate::Completes);
    check(&case, case.submit(|| case.probe().with_current_context()).run_async(work));
}

/// A future whose destructor panics.
struct Bomb(Probe);

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<()> {
        self.0.saw("poll");
        Poll::Ready(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.saw("panic");
        std::panic::panic_any("destructor's own panic");
    }
}

#[test]
fn a_ready_future_whose_destructor_panics_lets_its_context_go() {
    let case = Case::new("destructor panics", Submitted::Set, Fate::Panics);
    let mut bomb = case.submit(|| Bomb(case.probe()).with_current_context());
    let _guard = stranger().attach();
    let payload = catch_unwind(AssertUnwindSafe(|| block_on(&mut bomb))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"destructor's own panic"));
    assert_stranger("after a panic of a destructor");
    case.assert_saw(&["poll", "panic"]);
    case.assert_released(); // although the wrapper is still there

    let payload = catch_unwind(AssertUnwindSafe(|| block_on(&mut bomb))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"a future was polled after completion".to_owned()));
}

#[test]
fn a_destructor_that_panics_leaves_its_droppers_context_alone() {
    let case = Case::new("destructor panics", Submitted::Set, Fate::Panics);
    let bomb = case.submit(|| Bomb(case.probe()).with_current_context());
    let _guard = stranger().attach();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(bomb))).is_err());
    assert_stranger("after a panic of a destructor");
    case.assert_saw(&["panic"]);
    case.assert_released();
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
    let case = Case::new("timeout", Submitted::Set, Fate::Completes);
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
    let case = Case::new("join_all", Submitted::Set, Fate::Completes);
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
#[should_panic(expected = "a future was polled after completion")]
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
