//! Threads, scoped and not.

mod support;

#[path = "support/own_process.rs"]
mod own_process;

use std::{
    cell::OnceCell,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{Barrier, mpsc},
    thread::{self, Builder},
};

use ctxhop::prelude::*;
use own_process::in_own_process;
use support::{Ended, Fate, check_closure, tag, tagged};

const FATES: [Fate; 3] = [Fate::Completes, Fate::Errors, Fate::Panics];

#[test]
fn matrix() {
    check_closure("thread::spawn", &FATES, |case, job| {
        Ended::from_unwind(case.submit(|| ctxhop::thread::spawn(job)).join())
    });
    check_closure("Scope::spawn", &FATES, |case, job| {
        thread::scope(|scope| Ended::from_unwind(case.submit(|| scope.spawn_with_current_context(job)).join()))
    });
    check_closure("Builder::spawn", &[FATES.as_slice(), &[Fate::Refused]].concat(), |case, job| {
        match case.submit(|| builder(case.fate).spawn_with_current_context(job)) {
            Ok(thread) => Ended::from_unwind(thread.join()),
            Err(_) => Ended::Gone,
        }
    });
    check_closure("Builder::spawn_scoped", &[FATES.as_slice(), &[Fate::Refused]].concat(), |case, job| {
        thread::scope(|scope| match case.submit(|| builder(case.fate).spawn_scoped_with_current_context(scope, job)) {
            Ok(thread) => Ended::from_unwind(thread.join()),
            Err(_) => Ended::Gone,
        })
    });
}

/// No system has room for it.
const REFUSED_STACK: usize = 1 << 60;

fn builder(fate: Fate) -> Builder {
    if fate == Fate::Refused { Builder::new().stack_size(REFUSED_STACK) } else { Builder::new() }
}

#[test]
fn an_unwrapped_thread_sees_no_context() {
    let _guard = tagged("here").attach();
    assert_eq!(thread::spawn(tag).join().unwrap(), None);
}

#[test]
fn a_pool_thread_is_clean_for_the_next_job() {
    // Twenty jobs, each queued in a context of its own, run later by one thread; every other one is a bare job.
    const TAGS: [&str; 4] = ["a", "b", "c", "d"];
    let (tx, rx) = std::sync::mpsc::channel::<Box<dyn FnOnce() -> Option<&'static str> + Send>>();
    for n in 0..20 {
        let _guard = tagged(TAGS[n % 4]).attach();
        tx.send(if n % 2 == 0 { Box::new(ctxhop::wrap(tag)) } else { Box::new(tag) }).unwrap();
    }
    drop(tx);

    let seen: Vec<_> = thread::spawn(|| rx.into_iter().map(|job| job()).collect()).join().unwrap();
    let expected: Vec<_> = (0..20).map(|n| (n % 2 == 0).then_some(TAGS[n % 4])).collect();
    assert_eq!(seen, expected);
}

#[test]
fn scoped_threads_borrow_and_run_at_once() {
    let names = ["a".to_owned(), "b".to_owned()];
    let barrier = Barrier::new(2);
    let seen = tagged("scope").run(|| {
        thread::scope(|scope| {
            names
                .each_ref()
                .map(|name| {
                    scope.spawn_with_current_context(|| {
                        barrier.wait();
                        (name.as_str(), tag(), thread::current().id())
                    })
                })
                .map(|thread| thread.join().unwrap())
        })
    });
    assert_eq!(seen.map(|(name, tag, _)| (name, tag)), [("a", Some("scope")), ("b", Some("scope"))]);
    assert_ne!(seen[0].2, seen[1].2);
}

#[test]
fn destructors_of_thread_locals_run_outside() {
    thread_local!(static AT_EXIT: OnceCell<AtExit> = const { OnceCell::new() });

    struct AtExit(mpsc::Sender<Option<&'static str>>);

    impl Drop for AtExit {
        fn drop(&mut self) {
            self.0.send(tag()).unwrap();
        }
    }

    let (report, seen) = mpsc::channel();
    let job = move || {
        AT_EXIT.with(|at_exit| at_exit.set(AtExit(report)).ok().expect("a new thread"));
        tag()
    };
    let returned = ctxhop::thread::spawn_with_context(tagged("job"), job).join().unwrap();
    assert_eq!((returned, seen.recv()), (Some("job"), Ok(None)));
}

/// The functions without a [`Builder`] take the size of a stack from the environment, once, so this takes a process.
#[test]
fn a_spawn_that_panics_drops_its_closure_inside() {
    let start = |command: &mut Command| {
        command.env("RUST_MIN_STACK", REFUSED_STACK.to_string());
    };
    if !in_own_process("a_spawn_that_panics_drops_its_closure_inside", start) {
        return;
    }
    fn refused(spawn: impl FnOnce()) -> Ended {
        match catch_unwind(AssertUnwindSafe(spawn)) {
            Ok(()) => panic!("the system has room for such a stack"),
            Err(_) => Ended::Gone,
        }
    }
    check_closure("thread::spawn", &[Fate::Refused], |case, job| {
        refused(|| case.submit(|| drop(ctxhop::thread::spawn(job))))
    });
    check_closure("Scope::spawn", &[Fate::Refused], |case, job| {
        refused(|| thread::scope(|scope| case.submit(|| drop(scope.spawn_with_current_context(job)))))
    });
}
