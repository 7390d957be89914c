//! What `src/tracing/registry.rs` assumes of tracing-subscriber and of `tracing`, one test for each numbered line there. They use
//! nothing of this crate: if one fails with a new version, that version has changed what the crate builds on. Assumption 7 needs the
//! global subscriber, and has its test in `tracing_global.rs`.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tracing::{
    Dispatch, Subscriber, dispatcher, info_span,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, SpanData},
};

/// Counts all that a layer is told of a span.
#[derive(Clone, Default)]
struct Told(Arc<AtomicUsize>);

impl Told {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.add();
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        self.add();
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        self.add();
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.add();
    }
}

fn with_registry(test: impl FnOnce(&Dispatch, &Registry, &Told)) {
    let told = Told::default();
    let dispatch = Dispatch::new(Registry::default().with(told.clone()));
    dispatcher::with_default(&dispatch, || {
        test(&dispatch, dispatch.downcast_ref().expect("assumption 1: the registry is handed out"), &told)
    });
}

fn current(registry: &Registry) -> Option<Id> {
    registry.current_span().id().cloned()
}

#[test]
fn assumption_1_the_registry_is_handed_out_below_all_kinds_of_layers() {
    with_registry(|_, _, _| ());
    let filtered = Registry::default()
        .with(filter_fn(|_| true))
        .with(Told::default().with_filter(filter_fn(|_| true)))
        .with(Some(Told::default()))
        .with(vec![Told::default()])
        .with(Told::default().and_then(Told::default()).boxed());
    assert!(Dispatch::new(filtered).downcast_ref::<Registry>().is_some());
    let shared: Arc<dyn Subscriber + Send + Sync> = Arc::new(Registry::default().with(Told::default()));
    assert!(Dispatch::new(shared).downcast_ref::<Registry>().is_some());
}

#[test]
fn assumption_2_enter_and_exit_tell_no_layer_and_count_no_references() {
    with_registry(|_, registry, told| {
        let span = info_span!("span");
        let id = span.id().unwrap();
        registry.enter(&id);
        assert_eq!(current(registry), Some(id.clone()));
        registry.exit(&id);
        assert_eq!(current(registry), None);
        assert_eq!(told.count(), 1, "only of the new span");

        // Entered more often than left, it closes all the same; left more often than entered, it lives on.
        registry.enter(&id);
        drop(span);
        assert_eq!(told.count(), 2, "it has closed");
        assert!(registry.span_data(&id).is_none());
        registry.exit(&id);

        let span = info_span!("span");
        let id = span.id().unwrap();
        span.in_scope(|| {
            registry.exit(&id);
            assert_eq!(current(registry), None);
        });
        assert!(registry.span_data(&id).is_some(), "the exit by `in_scope` does not close it");
    });
}

#[test]
fn assumption_3_a_span_that_is_entered_twice_stays_where_it_was() {
    with_registry(|_, registry, _| {
        let [outer, inner] = ["outer", "inner"].map(|name| info_span!("span", name));
        let [outer, inner] = [&outer, &inner].map(|span| span.id().unwrap());
        for id in [&outer, &inner, &outer] {
            registry.enter(id);
        }
        assert_eq!(current(registry).as_ref(), Some(&inner), "not the outer one, which was entered last");
        registry.exit(&outer);
        registry.exit(&inner);
        assert_eq!(current(registry).as_ref(), Some(&outer), "one exit took one entry, the innermost");
        registry.exit(&outer);
        assert_eq!(current(registry), None);
    });
}

#[test]
fn assumption_4_to_exit_what_is_not_in_the_stack_does_nothing() {
    with_registry(|_, registry, _| {
        let (entered, other) = (info_span!("entered"), info_span!("other"));
        entered.in_scope(|| {
            registry.exit(&other.id().unwrap());
            assert_eq!(current(registry), entered.id());
        });
    });
}

#[test]
fn assumption_5_a_closed_span_has_no_data() {
    with_registry(|_, registry, _| {
        let id = info_span!("span").id().unwrap();
        assert!(registry.span_data(&id).is_none());
    });
}

#[test]
fn assumption_6_filters_have_the_same_numbers_in_each_registry() {
    let mut numbers = Registry::default();
    let ids: Vec<_> = (0..64).map(|_| numbers.register_filter()).collect();
    let one_more = catch_unwind(AssertUnwindSafe(|| numbers.register_filter()));
    assert!(one_more.is_err(), "there are more than 64");

    let no = |name| filter_fn(move |metadata| metadata.name() != name);
    let subscriber =
        Registry::default().with(Told::default().with_filter(no("a"))).with(Told::default().with_filter(no("b")));
    let dispatch = Dispatch::new(subscriber);
    dispatcher::with_default(&dispatch, || {
        let registry = dispatch.downcast_ref::<Registry>().unwrap();
        for (span, refused_by) in [(info_span!("a"), Some(0)), (info_span!("b"), Some(1)), (info_span!("c"), None)] {
            let data = registry.span_data(&span.id().unwrap()).unwrap();
            let refusing: Vec<_> = (0..64).filter(|number| !data.is_enabled_for(ids[*number])).collect();
            assert_eq!(refusing, Vec::from_iter(refused_by));
        }
    });
}
