//! While a thread's thread-locals are destroyed, those of the subscriber's layers among them, what was wrapped with
//! `TracingSnapshot` can still be made, run and dropped. A panic there would abort the process, and with it this test.

#[path = "support/tracing.rs"]
mod support;

use std::{cell::RefCell, sync::mpsc, thread};

use ctxhop::{prelude::*, tracing::TracingSnapshot};
use futures::FutureExt;
use opentelemetry::Context;
use support::Rig;
use tracing::{Dispatch, Span, info_span};

/// Calls what it holds when it is destroyed.
#[derive(Default)]
struct AtExit(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        self.0.take().expect("set before the thread ends")();
    }
}

thread_local! {
    static FIRST: AtExit = AtExit::default();
    static BETWEEN: AtExit = AtExit::default();
    static LAST: AtExit = AtExit::default();
}

type Before = fn(&TracingSnapshot, between: &dyn Fn());

/// What a thread may have done before, and where in between a thread-local of the test's comes into being.
const BEFORE: [Before; 4] = [
    |snapshot, between| {
        between();
        snapshot.run(|| assert_eq!(Span::current().metadata().unwrap().name(), "captured"));
    },
    // A guard that is never dropped goes with the thread, and does nothing then.
    |snapshot, between| {
        between();
        std::mem::forget(snapshot.clone().attach());
    },
    // First something that the layers do not see.
    |snapshot, between| {
        drop(Dispatch::none().attach());
        std::mem::forget(TracingSnapshot::new(Span::none(), Context::new()).attach());
        between();
        snapshot.run(|| ());
    },
    // The same, and then a guard.
    |snapshot, between| {
        std::mem::forget(TracingSnapshot::new(Span::none(), Context::new()).attach());
        between();
        drop(snapshot.clone().attach());
    },
];

/// Checks what `work` gives in the destructors of thread-locals: of one that outlives all others, of one that goes first,
/// and of one in between.
#[track_caller]
fn check(work: fn(TracingSnapshot) -> u32) {
    let snapshot = info_span!("captured").in_scope(TracingSnapshot::capture);
    for before in BEFORE {
        let snapshot = snapshot.clone();
        let (report, result) = mpsc::channel();
        let ends = thread::spawn(move || {
            let at_exit = |at: &'static thread::LocalKey<AtExit>| {
                let (report, snapshot) = (report.clone(), snapshot.clone());
                let in_destructor = Box::new(move || report.send(work(snapshot)).unwrap());
                at.with(|at_exit| at_exit.0.replace(Some(in_destructor)));
            };
            // Destroyed in the reverse order of their first use.
            at_exit(&FIRST);
            before(&snapshot, &|| at_exit(&BETWEEN));
            at_exit(&LAST);
        });
        ends.join().unwrap();
        assert_eq!(result.iter().collect::<Vec<_>>(), [7, 7, 7]);
    }
}

thread_local!(static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) });

/// What a thread may do after it has made what it keeps.
const AFTER: [fn(); 3] = [
    || (),
    || info_span!("bare").in_scope(|| ()),
    || info_span!("bound").in_scope(TracingSnapshot::capture).run(|| ()),
];

/// Keeps something in a thread-local that is initialised before anything else on its thread, and so is destroyed last.
#[track_caller]
fn keep<T: 'static>(make: impl FnOnce() -> T + Clone + Send + 'static) {
    for after in AFTER {
        let make = make.clone();
        let ends = thread::spawn(move || {
            KEPT.with(|_| ());
            let kept = make();
            after();
            KEPT.with_borrow_mut(|all| all.push(Box::new(kept)));
        });
        ends.join().unwrap();
    }
}

fn what_is_kept_works() {
    keep(|| TracingSnapshot::capture().attach());
    keep(|| info_span!("kept").in_scope(TracingSnapshot::capture).attach());
    keep(|| info_span!("kept").attach());
    keep(|| Box::new(7).with_current::<TracingSnapshot>());
    keep(|| info_span!("kept").in_scope(|| Box::new(7).with_current::<TracingSnapshot>()));
    // Captured on another thread.
    let snapshot = info_span!("captured").in_scope(TracingSnapshot::capture);
    let other = snapshot.clone();
    keep(move || Box::new(7).with_context(other));
    let other = snapshot.clone();
    keep(move || other.attach());
}

/// One test, because the subscriber is the process's.
#[test]
fn what_is_wrapped_works() {
    tracing::subscriber::set_global_default(Rig::new().subscriber()).unwrap();
    what_is_kept_works();
    check(|snapshot| snapshot.run(|| 7));
    check(|snapshot| 7.with_context(snapshot).run(|n| n));
    check(|snapshot| async { 7 }.with_context(snapshot).now_or_never().unwrap());
    check(|_| 7.with_current::<TracingSnapshot>().into_inner());
    check(|snapshot| {
        let boxed = Box::new(7).with_context(snapshot);
        let n = *boxed.inner().as_ref();
        drop(boxed);
        n
    });
}
