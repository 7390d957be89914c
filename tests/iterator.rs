//! Iterators: every `next` inside, and the drop too.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ctxhop::prelude::*;
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
