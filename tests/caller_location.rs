//! Panics of spawns, accessors and the contract of carriers name the line of the caller.
//!
//! A test binary of its own, for it sets the process's panic hook.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, Location, catch_unwind, set_hook},
};

use ctxhop::{
    carrier::{Headers, ReadOnly},
    prelude::*,
    testing::{CarrierContract, carrier_contract},
    tracing::prelude::*,
};
use futures::executor::block_on;
use opentelemetry::Context;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

thread_local!(static PANICKED_AT: Cell<Option<(bool, u32)>> = const { Cell::new(None) });

/// Where `call` panics: in this file or not, and the line.
fn panic_location(call: impl FnOnce()) -> Option<(bool, u32)> {
    PANICKED_AT.set(None);
    catch_unwind(AssertUnwindSafe(call)).expect_err("it panics");
    PANICKED_AT.get()
}

/// A row: the panicking call, which has to be on the line of the macro.
macro_rules! check {
    ($call:expr) => {
        assert_eq!(panic_location(|| _ = $call), Some((true, line!())), "{}", stringify!($call))
    };
}

fn cx() -> Context {
    Context::new()
}

#[test]
fn panics_name_the_caller() {
    let here = Location::caller().file();
    set_hook(Box::new(move |panic| {
        let at = panic.location().expect("always there, says std");
        PANICKED_AT.set(Some((at.file() == here, at.line())));
    }));

    // Outside a runtime, all of these panic.
    let (mut set, tracker) = (JoinSet::<()>::new(), TaskTracker::new());
    check!(ctxhop::tokio::spawn(async {}));
    check!(ctxhop::tokio::spawn_blocking(|| ()));
    check!(ctxhop::tokio::spawn_local(async {}));
    check!(ctxhop::tokio::spawn_with_context(cx(), async {}));
    check!(ctxhop::tokio::spawn_blocking_with_context(cx(), || ()));
    check!(ctxhop::tokio::spawn_local_with_context(cx(), async {}));
    check!(ctxhop::tokio::spawn_detached(async {}));
    check!(ctxhop::tokio::spawn_parent_only(async {}));
    check!(ctxhop::tracing::tokio::spawn_detached(async {}));
    check!(ctxhop::tracing::tokio::spawn_parent_only(async {}));
    check!(ctxhop::tracing::tokio::spawn(async {}));
    check!(ctxhop::tracing::tokio::spawn_blocking(|| ()));
    check!(ctxhop::tracing::tokio::spawn_local(async {}));
    check!(set.spawn_with_context(cx(), async {}));
    check!(set.spawn_with_current_span(async {}));
    check!(set.spawn_blocking_with_context(cx(), || ()));
    check!(set.spawn_blocking_with_current_span(|| ()));
    check!(set.spawn_local_with_context(cx(), async {}));
    check!(set.spawn_local_with_current_span(async {}));
    check!(tracker.spawn_with_context(cx(), async {}));
    check!(tracker.spawn_with_current_span(async {}));
    check!(tracker.spawn_blocking_with_context(cx(), || ()));
    check!(tracker.spawn_blocking_with_current_span(|| ()));
    check!(tracker.spawn_local_with_context(cx(), async {}));
    check!(tracker.spawn_local_with_current_span(async {}));
    check!(set.spawn_with_current_context(async {}));
    check!(set.spawn_blocking_with_current_context(|| ()));
    check!(set.spawn_local_with_current_context(async {}));
    check!(tracker.spawn_with_current_context(async {}));
    check!(tracker.spawn_blocking_with_current_context(|| ()));
    check!(tracker.spawn_local_with_current_context(async {}));

    // Inside one, this does.
    let (tx, _rx) = tokio::sync::mpsc::channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        check!(tx.blocking_send_with_current_context(1));
        check!(tx.blocking_send_with_context(cx(), 1));
        let (tx, _rx) = tokio::sync::mpsc::channel(1);
        check!(tx.blocking_send_with_current_span(1));
    });

    // And these do once the work is done.
    let mut done = std::future::ready(()).with_current_context();
    block_on(&mut done);
    check!(done.context());
    check!(done.inner());
    check!(done.inner_mut());
    check!(done.clone().into_inner());
    check!(done.clone().into_parts());
    check!(done.clone().map_inner(|_| ()));
    check!(done.clone().run(|_| ()));
    check!(done.clone().run_async(|_| async {}));

    // And these do for carriers that break their promises.
    let nothing = Headers::new();
    check!(carrier_contract(|| ReadOnly(&nothing)));
    check!(CarrierContract::new(Headers::new).repeats(|_, _, _| ()).check());
    check!(CarrierContract::new(Headers::new).not_text(|headers, key| headers.append(key.to_owned(), "text")).check());
    check!(CarrierContract::new(Headers::new).read_only(|_| ()).check());
}
