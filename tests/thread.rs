//! Threads, scoped and not.

mod support;

use std::{
    sync::Barrier,
    thread::{self, Builder},
};

use ctxhop::prelude::*;
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

/// No system has room for the stack of a refused one.
fn builder(fate: Fate) -> Builder {
    if fate == Fate::Refused { Builder::new().stack_size(1 << 60) } else { Builder::new() }
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
