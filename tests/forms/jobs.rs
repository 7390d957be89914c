//! rayon's jobs, scopes, pools and parallel iterators.

#![allow(clippy::unit_arg, reason = "what a call returns is of no interest, and some return nothing")]

use std::sync::LazyLock;

use ctxhop::{
    rayon as hop,
    tracing::{prelude::*, rayon as span_hop},
};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
// Beside the preludes, as in a program that uses `tracing`.
use tracing::Instrument as _;

use crate::{Finish, Forms, When::*, Work, check, elsewhere};

static POOL: LazyLock<ThreadPool> = LazyLock::new(|| ThreadPoolBuilder::new().num_threads(2).build().unwrap());

/// The result of what has waited for the work, or of what has left it to the pool.
fn done<T>(_: T) -> Finish {
    elsewhere()
}

macro_rules! row {
    ($name:literal, $when:expr, $work:ident, $cx:ident,
        given: $given:expr, context: $context:expr, span_given: $span_given:expr, span: $span:expr $(,)?) => {
        check(
            $name,
            $when,
            Forms::new(|$cx, $work: Work| done($given), |$work: Work| done($context)),
            Forms::new(|$cx, $work: Work| done($span_given), |$work: Work| done($span)),
        )
    };
}

#[test]
fn functions() {
    row!("join", Within, work, cx,
        given: hop::join_with_context(cx, || work.run(), || ()),
        context: hop::join(|| work.run(), || ()),
        span_given: span_hop::join_with_context(cx, || work.run(), || ()),
        span: span_hop::join(|| work.run(), || ()));
    row!("join_context", Within, work, cx,
        given: hop::join_context_with_context(cx, |_| (), |_| work.run()),
        context: hop::join_context(|_| (), |_| work.run()),
        span_given: span_hop::join_context_with_context(cx, |_| (), |_| work.run()),
        span: span_hop::join_context(|_| (), |_| work.run()));
    row!("scope", Within, work, cx,
        given: hop::scope_with_context(cx, |_| work.run()),
        context: hop::scope(|_| work.run()),
        span_given: span_hop::scope_with_context(cx, |_| work.run()),
        span: span_hop::scope(|_| work.run()));
    row!("scope_fifo", Within, work, cx,
        given: hop::scope_fifo_with_context(cx, |_| work.run()),
        context: hop::scope_fifo(|_| work.run()),
        span_given: span_hop::scope_fifo_with_context(cx, |_| work.run()),
        span: span_hop::scope_fifo(|_| work.run()));
    row!("spawn", Later, work, cx,
        given: hop::spawn_with_context(cx, move || work.run()),
        context: hop::spawn(move || work.run()),
        span_given: span_hop::spawn_with_context(cx, move || work.run()),
        span: span_hop::spawn(move || work.run()));
    row!("spawn_fifo", Later, work, cx,
        given: hop::spawn_fifo_with_context(cx, move || work.run()),
        context: hop::spawn_fifo(move || work.run()),
        span_given: span_hop::spawn_fifo_with_context(cx, move || work.run()),
        span: span_hop::spawn_fifo(move || work.run()));
    row!("broadcast", Within, work, cx,
        given: hop::broadcast_with_context(cx, |_| work.run()),
        context: hop::broadcast(|_| work.run()),
        span_given: span_hop::broadcast_with_context(cx, |_| work.run()),
        span: span_hop::broadcast(|_| work.run()));
    row!("spawn_broadcast", Later, work, cx,
        given: hop::spawn_broadcast_with_context(cx, move |_| work.run()),
        context: hop::spawn_broadcast(move |_| work.run()),
        span_given: span_hop::spawn_broadcast_with_context(cx, move |_| work.run()),
        span: span_hop::spawn_broadcast(move |_| work.run()));
}

/// A closure that has not migrated finds a given context, too.
#[test]
fn a_join_with_a_given_context_on_a_worker() {
    row!("join, on a worker", Within, work, cx,
        given: POOL.install(|| hop::join_with_context(cx, || work.run(), || ())),
        context: POOL.install_with_current_context(|| hop::join(|| work.run(), || ())),
        span_given: POOL.install(|| span_hop::join_with_context(cx, || work.run(), || ())),
        span: POOL.install_with_current_span(|| span_hop::join(|| work.run(), || ())));
}

#[test]
fn scopes() {
    row!("Scope::spawn", Within, work, cx,
        given: rayon::in_place_scope(|scope| scope.spawn_with_context(cx, |_| work.run())),
        context: rayon::in_place_scope(|scope| scope.spawn_with_current_context(|_| work.run())),
        span_given: rayon::in_place_scope(|scope| scope.spawn_with_context(cx, |_| work.run())),
        span: rayon::in_place_scope(|scope| scope.spawn_with_current_span(|_| work.run())));
    row!("Scope::spawn_broadcast", Within, work, cx,
        given: rayon::in_place_scope(|scope| scope.spawn_broadcast_with_context(cx, |_, _| work.run())),
        context: rayon::in_place_scope(|scope| scope.spawn_broadcast_with_current_context(|_, _| work.run())),
        span_given: rayon::in_place_scope(|scope| scope.spawn_broadcast_with_context(cx, |_, _| work.run())),
        span: rayon::in_place_scope(|scope| scope.spawn_broadcast_with_current_span(|_, _| work.run())));
    row!("ScopeFifo::spawn_fifo", Within, work, cx,
        given: rayon::in_place_scope_fifo(|scope| scope.spawn_fifo_with_context(cx, |_| work.run())),
        context: rayon::in_place_scope_fifo(|scope| scope.spawn_fifo_with_current_context(|_| work.run())),
        span_given: rayon::in_place_scope_fifo(|scope| scope.spawn_fifo_with_context(cx, |_| work.run())),
        span: rayon::in_place_scope_fifo(|scope| scope.spawn_fifo_with_current_span(|_| work.run())));
    row!("ScopeFifo::spawn_broadcast", Within, work, cx,
        given: rayon::in_place_scope_fifo(|scope| scope.spawn_broadcast_with_context(cx, |_, _| work.run())),
        context: rayon::in_place_scope_fifo(|scope| scope.spawn_broadcast_with_current_context(|_, _| work.run())),
        span_given: rayon::in_place_scope_fifo(|scope| scope.spawn_broadcast_with_context(cx, |_, _| work.run())),
        span: rayon::in_place_scope_fifo(|scope| scope.spawn_broadcast_with_current_span(|_, _| work.run())));
}

#[test]
fn pools() {
    row!("ThreadPool::install", Within, work, cx,
        given: POOL.install_with_context(cx, || work.run()),
        context: POOL.install_with_current_context(|| work.run()),
        span_given: POOL.install_with_context(cx, || work.run()),
        span: POOL.install_with_current_span(|| work.run()));
    row!("ThreadPool::join", Within, work, cx,
        given: POOL.join_with_context(cx, || work.run(), || ()),
        context: POOL.join_with_current_context(|| work.run(), || ()),
        span_given: POOL.join_with_context(cx, || (), || work.run()),
        span: POOL.join_with_current_span(|| (), || work.run()));
    row!("ThreadPool::scope", Within, work, cx,
        given: POOL.scope_with_context(cx, |_| work.run()),
        context: POOL.scope_with_current_context(|_| work.run()),
        span_given: POOL.scope_with_context(cx, |_| work.run()),
        span: POOL.scope_with_current_span(|_| work.run()));
    row!("ThreadPool::scope_fifo", Within, work, cx,
        given: POOL.scope_fifo_with_context(cx, |_| work.run()),
        context: POOL.scope_fifo_with_current_context(|_| work.run()),
        span_given: POOL.scope_fifo_with_context(cx, |_| work.run()),
        span: POOL.scope_fifo_with_current_span(|_| work.run()));
    row!("ThreadPool::spawn", Later, work, cx,
        given: POOL.spawn_with_context(cx, move || work.run()),
        context: POOL.spawn_with_current_context(move || work.run()),
        span_given: POOL.spawn_with_context(cx, move || work.run()),
        span: POOL.spawn_with_current_span(move || work.run()));
    row!("ThreadPool::spawn_fifo", Later, work, cx,
        given: POOL.spawn_fifo_with_context(cx, move || work.run()),
        context: POOL.spawn_fifo_with_current_context(move || work.run()),
        span_given: POOL.spawn_fifo_with_context(cx, move || work.run()),
        span: POOL.spawn_fifo_with_current_span(move || work.run()));
    row!("ThreadPool::broadcast", Within, work, cx,
        given: POOL.broadcast_with_context(cx, |_| work.run()),
        context: POOL.broadcast_with_current_context(|_| work.run()),
        span_given: POOL.broadcast_with_context(cx, |_| work.run()),
        span: POOL.broadcast_with_current_span(|_| work.run()));
    row!("ThreadPool::spawn_broadcast", Later, work, cx,
        given: POOL.spawn_broadcast_with_context(cx, move |_| work.run()),
        context: POOL.spawn_broadcast_with_current_context(move |_| work.run()),
        span_given: POOL.spawn_broadcast_with_context(cx, move |_| work.run()),
        span: POOL.spawn_broadcast_with_current_span(move |_| work.run()));
}

#[test]
fn parallel_iterators() {
    row!("in_context", Within, work, cx,
        given: [work].into_par_iter().in_context(cx, |it| it.map(|work| work.run()).chunks(1)).count(),
        context: [work].into_par_iter().in_current_context(|it| it.map(|work| work.run()).chunks(1)).count(),
        span_given: [work].into_par_iter().in_context(cx, |it| it.map(|work| work.run()).chunks(1)).count(),
        span: [work].into_par_iter().inside_current_span(|it| it.map(|work| work.run()).chunks(1)).count());
}

/// `tracing`'s own method is not hidden, and ours are not ambiguous beside it.
#[test]
fn instrument_is_itself() {
    let itself: tracing::instrument::Instrumented<_> = async {}.in_current_span();
    futures::executor::block_on(itself);
}
