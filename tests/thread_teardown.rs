//! While a thread's thread-locals are destroyed, OpenTelemetry's among them, what this crate has wrapped can still be
//! made, run and dropped. A panic there would abort the process, and with it this test.

use std::{cell::RefCell, fmt::Debug, panic::catch_unwind, sync::mpsc, thread};

use ctxhop::prelude::*;
use futures::FutureExt;
use opentelemetry::Context;

/// Calls what it holds when it is destroyed.
#[derive(Default)]
struct AtExit(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.take().expect("set before the thread ends")();
    }
}

thread_local!(static AT_EXIT: AtExit = AtExit::default());

/// Checks what `work` gives in the destructor of a thread-local that outlives OpenTelemetry's: on a thread that this
/// crate has been used on, and on one where it is used for the first time.
#[track_caller]
fn check<R: Copy + Debug + PartialEq + Send + 'static>(work: fn(Context) -> R, expected: R) {
    let used_before: [fn(); 2] = [|| Context::capture().run(|| ()), || drop(Context::current())];
    for use_before in used_before {
        let (report, result) = mpsc::channel();
        let in_destructor = move || {
            let storage_is_gone = catch_unwind(Context::current).is_err();
            report.send((storage_is_gone, work(Context::new().with_value("cx")))).unwrap();
        };
        let ends = thread::spawn(move || {
            // Destroyed in the reverse order of their first use.
            AT_EXIT.with(|at_exit| at_exit.0.replace(Some(Box::new(in_destructor))));
            use_before();
        });
        ends.join().unwrap();
        assert_eq!(result.try_recv(), Ok((true, expected)), "(OpenTelemetry's thread-local is gone, result)");
    }
}

/// Tells when it is dropped.
struct Dropped(mpsc::Sender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send("dropped").unwrap();
    }
}

/// What a [`Dropped`] says while `work` has it.
fn dropped_by(work: impl FnOnce(Dropped)) -> Option<&'static str> {
    let (tx, rx) = mpsc::channel();
    work(Dropped(tx));
    rx.try_recv().ok()
}

#[test]
fn capture_is_empty() {
    check(|_| Context::capture().get::<&str>().copied(), None);
}

#[test]
fn a_value_runs() {
    check(|cx| cx.run(|| 7), 7);
    check(|cx| 7.with_context(cx).run(|n| n), 7);
    check(|cx| cx.wrap(|| 7)(), 7);
}

#[test]
fn a_future_runs() {
    check(|cx| async { 7 }.with_context(cx).now_or_never(), Some(7));
}

#[test]
fn a_message_is_sent() {
    check(
        |_| {
            let (tx, rx) = mpsc::channel();
            tx.send_with_current_context(7).unwrap();
            rx.try_recv().unwrap().into_inner()
        },
        7,
    );
}

#[test]
fn a_value_is_dropped() {
    check(|cx| dropped_by(|value| drop(value.with_context(cx))), Some("dropped"));
    check(|cx| dropped_by(|value| drop(cx.wrap(move || drop(value)))), Some("dropped"));
}

thread_local!(static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) });

/// Keeps something in a thread-local that is initialised before anything else on its thread, and so is destroyed last.
#[track_caller]
fn keep<T: 'static>(make: impl FnOnce() -> T + Send + 'static) {
    let ends = thread::spawn(|| {
        KEPT.with(|_| ());
        let kept = make();
        KEPT.with_borrow_mut(|all| all.push(Box::new(kept)));
    });
    ends.join().unwrap();
}

#[test]
fn a_guard_is_kept() {
    keep(|| Snapshot::attach(Context::new().with_value("kept")));
    // More than there is room for, and the last of them are on our own stack.
    keep(|| (0..66_000).map(|n| Snapshot::attach(Context::new().with_value(n))).collect::<Vec<_>>());
}

#[test]
fn a_wrapped_value_is_kept() {
    let (tx, rx) = mpsc::channel();
    keep(|| Dropped(tx).with_current_context());
    assert_eq!(rx.try_recv(), Ok("dropped"));
}
