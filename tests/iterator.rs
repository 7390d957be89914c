//! Iterators: every `next` inside, and the drop too.

mod support;

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
};

use ctxhop::prelude::*;
use opentelemetry::Context;
use proptest::prelude::*;
use support::{Case, Ended, Fate, Output, SUBMITTED, Submitted, assert_stranger, stranger, tag, tagged};

fn numbers(case: &Case) -> impl Iterator<Item = Output> + use<> {
    let (probe, end) = (case.probe(), case.end());
    let mut end = Some(end);
    let mut n = 0;
    std::iter::from_fn(move || {
        probe.saw("next");
        n += 1;
        match n {
            ..3 => Some(Ok(n)),
            3 => end.take().expect("once")().err().map(Err),
            _ => None,
        }
    })
}

#[test]
fn matrix() {
    let _guard = stranger().attach();
    for fate in [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway] {
        for submitted in SUBMITTED {
            let case = Case::new("iterator", submitted, fate);
            let numbers = numbers(&case);
            let iter: Box<dyn Iterator<Item = Output>> = if submitted == Submitted::Twice {
                Box::new(numbers.with_context(case.inner_context()))
            } else {
                Box::new(numbers)
            };
            let mut iter = case.submit(|| iter.with_current_context());

            let (ended, calls) = match fate {
                Fate::Unstarted => (Ended::Gone, 0),
                Fate::Midway => {
                    assert_eq!(iter.next(), Some(Ok(1)));
                    assert_stranger("between two calls");
                    (Ended::Gone, 1)
                }
                _ => {
                    let items = catch_unwind(AssertUnwindSafe(|| iter.by_ref().collect::<Result<Vec<_>, _>>()));
                    assert_stranger("after the iterator's end");
                    let ended = Ended::from_unwind(items.map(|items| {
                        items.map(|items| {
                            assert_eq!(items, [1, 2]);
                            7
                        })
                    }));
                    (ended, 3)
                }
            };
            drop(iter);

            case.assert_ended(ended);
            case.assert_saw(&["next"; 3][..calls]);
            case.assert_released();
            assert_stranger(&case.name);
        }
    }
}

#[test]
fn consumers_run_in_the_callers_context_however_they_consume() {
    let bound = || (0..2).map(|_| tag()).with_context(tagged("in"));
    let _guard = tagged("caller").attach();

    let mut seen = Vec::new();
    for inside in bound() {
        seen.push((inside, tag()));
    }
    bound().for_each(|inside| seen.push((inside, tag())));
    bound().rev().for_each(|inside| seen.push((inside, tag())));
    assert_eq!(seen, [(Some("in"), Some("caller")); 6]);
}

type Drops = RefCell<Vec<(usize, Option<&'static str>)>>;

/// Says in whose context it is dropped.
struct Item(usize, Rc<Drops>);

impl Drop for Item {
    fn drop(&mut self) {
        self.1.borrow_mut().push((self.0, tag()));
    }
}

#[test]
fn the_items_of_a_batch_have_its_context() {
    let dropped = Rc::default();
    let batch = |name| (0..4).map(|n| Item(n, Rc::clone(&dropped))).collect::<Vec<_>>().with_context(tagged(name));
    let _guard = stranger().attach();

    drop(batch("unpulled").into_items());
    assert_eq!(dropped.take(), [0, 1, 2, 3].map(|n| (n, Some("unpulled"))));

    let mut items = batch("batch").into_items();
    assert_eq!(items.size_hint(), (4, Some(4)));
    let (first, second) = (items.next().unwrap(), items.next().unwrap());
    assert_stranger("between two items");
    drop(items);
    assert_eq!(dropped.take(), [2, 3].map(|n| (n, Some("batch"))), "those that nobody took");
    first.run(|item| assert_eq!((item.0, tag()), (0, Some("batch"))));
    drop(second);
    assert_eq!(dropped.take(), [0, 1].map(|n| (n, Some("batch"))));
    assert_stranger("after the batch");
}

#[test]
fn the_items_of_a_batch_let_go_of_it() {
    let held = Arc::new(());
    let batch = [1, 2].with_context(Context::new().with_value(Arc::clone(&held)));
    let mut items = batch.into_items();
    let first = items.next();
    assert_eq!(items.by_ref().count(), 1);
    drop(items);
    assert_eq!(Arc::strong_count(&held), 2, "the first item is in hand");
    drop(first);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_batch_is_made_an_iterator_and_pulled_inside() {
    struct Batch;

    impl IntoIterator for Batch {
        type Item = Option<&'static str>;
        type IntoIter = Box<dyn Iterator<Item = Option<&'static str>>>;

        fn into_iter(self) -> Self::IntoIter {
            let made_in = tag();
            Box::new(std::iter::once_with(move || made_in).chain(std::iter::once_with(tag)))
        }
    }
    let _guard = stranger().attach();
    let seen: Vec<_> = Batch.with_context(tagged("batch")).into_items().map(|item| item.into_inner()).collect();
    assert_eq!(seen, [Some("batch"); 2]);
}

/// One step from either end of an iterator.
#[derive(Clone, Debug)]
enum Step {
    Next,
    Back,
    Nth(usize),
    NthBack(usize),
}

proptest! {
    #[test]
    fn is_the_same_iterator(len in 0_usize..20, steps in prop::collection::vec(
        prop_oneof![
            Just(Step::Next),
            Just(Step::Back),
            (0_usize..4).prop_map(Step::Nth),
            (0_usize..4).prop_map(Step::NthBack),
        ], 0..12,
    )) {
        let mut bare = 0..len;
        let mut bound = (0..len).with_current_context();
        for step in steps {
            let (expected, got) = match step {
                Step::Next => (bare.next(), bound.next()),
                Step::Back => (bare.next_back(), bound.next_back()),
                Step::Nth(n) => (bare.nth(n), bound.nth(n)),
                Step::NthBack(n) => (bare.nth_back(n), bound.nth_back(n)),
            };
            prop_assert_eq!(expected, got);
            prop_assert_eq!(bare.len(), bound.len());
            prop_assert_eq!(bare.size_hint(), bound.size_hint());
        }
        prop_assert!(bare.eq(bound));
    }
}
