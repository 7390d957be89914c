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
const BEFORE: [Before; 3] = [
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

#[test]
fn what_is_wrapped_works() {
    tracing::subscriber::set_global_default(Rig::new().subscriber()).unwrap();
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
