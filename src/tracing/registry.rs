//! All that this crate assumes of tracing-subscriber's [`Registry`], and of `tracing`'s dispatcher.
//!
//! Neither documents what is below. `tests/tracing_registry.rs` has a test for each line, which fails if a version breaks it;
//! `.ci/run` runs it with the oldest and the newest version that `Cargo.toml` allows.
//!
//! 1. A subscriber that is built of layers on a `Registry` hands the `Registry` out by [`Dispatch::downcast_ref`].
//! 2. [`Registry::enter`](Subscriber::enter) and [`exit`](Subscriber::exit), called on it directly, tell no layer, and count no
//!    references: they change the stack of this thread's spans, nothing else. (Before 0.3.22 they counted references.)
//! 3. A span that is entered twice stays where it was first entered, and takes two exits. `exit` takes the innermost entry.
//!    `current_span` is the innermost of the first entries.
//! 4. Exiting a span that is not in the stack does nothing.
//! 5. [`LookupSpan::span_data`] gives nothing for a span that has closed.
//! 6. Filters have the numbers from 0 to 63 in each registry, and a [`FilterId`] of one registry means the filter of the same
//!    number in any other. A span passes the filters that do not exist.
//! 7. Inside [`get_default`](::tracing::dispatcher::get_default), another call gives no subscriber, except where the process
//!    has only the global one, which both calls give at the same address. Without that exception, a hop attaches the subscriber
//!    each time, which is slower, and as right. (See `subscriber.rs`.)

use std::{array, iter, sync::LazyLock};

use ::tracing::{Dispatch, Subscriber as _, span};
use tracing_subscriber::{
    filter::FilterId,
    registry::{LookupSpan, Registry, SpanData},
};

/// Takes all spans off this thread's stack, for a span that is none or disabled.
pub(super) fn hide_all(subscriber: &Dispatch) -> Option<Aside> {
    Aside::take(subscriber, subscriber.downcast_ref()?)
}

/// Makes a span that was entered just now the only one that layers see. Mostly it is enough that it is on top of the others.
pub(super) fn bring_up(subscriber: &Dispatch, id: &span::Id) -> Option<Aside> {
    let registry = subscriber.downcast_ref::<Registry>()?;
    // If it was entered further down already, it has stayed there.
    let is_on_top = registry.current_span().id() == Some(id);
    if is_on_top && passes_every_filter(registry, id) { None } else { bring_up_alone(subscriber, registry, id) }
}

#[cold]
fn bring_up_alone(subscriber: &Dispatch, registry: &Registry, id: &span::Id) -> Option<Aside> {
    registry.exit(id);
    let aside = Aside::take(subscriber, registry);
    registry.enter(id);
    aside
}

/// A layer whose filter the span does not pass sees the next span of the stack instead.
fn passes_every_filter(registry: &Registry, id: &span::Id) -> bool {
    static FILTERS: LazyLock<[FilterId; 64]> = LazyLock::new(|| {
        let mut registry = Registry::default();
        array::from_fn(|_| registry.register_filter())
    });
    registry
        .span_data(id)
        .is_none_or(|span| FILTERS.iter().fold(true, |passes, filter| passes & span.is_enabled_for(*filter)))
}

/// The spans that were entered on this thread. They are entered again when it is dropped.
///
/// Nothing tells whether one of them was left meanwhile. Then it stays, until it is closed.
pub(super) struct Aside {
    subscriber: Dispatch,
    innermost: span::Id,
    /// Those around it, from the inside out; mostly none, which needs no allocation.
    around: Vec<span::Id>,
}

impl Aside {
    /// Takes them from the registry alone. If the layers were told, that of OpenTelemetry would detach the spans' contexts,
    /// and could not put them back where they were, below those attached since.
    fn take(subscriber: &Dispatch, registry: &Registry) -> Option<Self> {
        let innermost = take_current(registry)?;
        let around = iter::from_fn(|| take_current(registry)).collect();
        Some(Self { subscriber: subscriber.clone(), innermost, around })
    }
}

fn take_current(registry: &Registry) -> Option<span::Id> {
    let current = registry.current_span();
    let id = current.id()?;
    registry.exit(id);
    Some(id.clone())
}

impl Drop for Aside {
    fn drop(&mut self) {
        let Some(registry) = self.subscriber.downcast_ref::<Registry>() else { return };
        for id in self.around.iter().rev().chain([&self.innermost]) {
            if registry.span_data(id).is_some() {
                registry.enter(id);
            }
        }
    }
}
