//! Parallel iterators: every source, panics, drops, other snapshots, and that nothing but the context is changed.

mod support;
#[path = "support/rayon.rs"]
mod watch;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    marker::PhantomData,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use ctxhop::{Snapshot, prelude::*};
use opentelemetry::Context;
use rayon::{ThreadPool, prelude::*};
use support::{Case, Fate, Job, Output, catch, check_closure, stranger, tagged};
use watch::{Counted, Seen, assert_workers_are_clean, numbers, pool};

// ---- Sources ---------------------------------------------------------------------------------------------------------

/// Checks that every item of a source is processed in context; that `misses` are its own closures that are not, as
/// rayon calls them to split the work.
fn check_source<I: ParallelIterator>(
    pool: &ThreadPool,
    name: &str,
    items: usize,
    misses: &[&str],
    source: impl Fn(&'static Seen) -> I + Sync,
) {
    for (context, expected) in [(tagged("bound"), Some("bound")), (Context::new(), None)] {
        let seen = Seen::leaked();
        let calls = AtomicUsize::new(0);
        pool.install(|| {
            let bare = source(Seen::leaked()).opt_len();
            let chain =
                source(seen).in_context(context, |it| it.inspect(|_| _ = calls.fetch_add(1, Ordering::Relaxed)));
            assert_eq!(chain.opt_len(), bare, "{name}: opt_len");
            chain.for_each(|_| if items > 1 { seen.meet("item") } else { seen.note("item") });
        });
        assert_eq!(calls.into_inner(), items, "{name}: items");
        assert_eq!(seen.places().contains("item"), items > 0, "{name}: the end was reached");
        assert_eq!(seen.threads() > 1, items > 1, "{name}: more than one thread took part");
        assert_eq!(Vec::from_iter(seen.escapes(expected)), misses, "{name}, bound to {expected:?}: places that escape");
        assert_workers_are_clean(pool, name);
    }
}

fn leaked(len: u32) -> &'static mut Vec<u32> {
    Box::leak(Box::new((0..len).collect()))
}

#[test]
fn collections() {
    let pool = &pool(4);
    check_source(pool, "range", 64, &[], |_| (0..64_u32).into_par_iter());
    check_source(pool, "inclusive range", 65, &[], |_| (0..=64_u64).into_par_iter());
    check_source(pool, "Vec", 64, &[], |_| vec![7; 64].into_par_iter());
    check_source(pool, "array", 64, &[], |_| [7; 64].into_par_iter());
    check_source(pool, "VecDeque", 64, &[], |_| VecDeque::from([7; 64]).into_par_iter());
    check_source(pool, "HashMap", 64, &[], |_| (0..64).map(|n| (n, n)).collect::<HashMap<_, _>>().into_par_iter());
    check_source(pool, "BTreeMap", 64, &[], |_| (0..64).map(|n| (n, n)).collect::<BTreeMap<_, _>>().into_par_iter());
    check_source(pool, "BTreeSet", 64, &[], |_| (0..64).collect::<BTreeSet<_>>().into_par_iter());
    check_source(pool, "par_iter", 64, &[], |_| leaked(64).par_iter());
    check_source(pool, "par_iter_mut", 64, &[], |_| leaked(64).par_iter_mut());
    check_source(pool, "par_drain", 64, &[], |_| leaked(64).par_drain(..));
    check_source(pool, "Option", 1, &[], |_| Some(7).into_par_iter());
    check_source(pool, "Result", 1, &[], |_| Ok::<_, ()>(7).into_par_iter());
    check_source(pool, "tuple", 64, &[], |_| (leaked(64).par_iter(), leaked(64).par_iter()).into_par_iter());
}

#[test]
fn slices_and_strings() {
    let pool = &pool(4);
    check_source(pool, "par_chunks", 16, &[], |_| leaked(64).par_chunks(4));
    check_source(pool, "par_chunks_mut", 16, &[], |_| leaked(64).par_chunks_mut(4));
    check_source(pool, "par_chunks_exact", 16, &[], |_| leaked(66).par_chunks_exact(4));
    check_source(pool, "par_rchunks", 16, &[], |_| leaked(64).par_rchunks(4));
    check_source(pool, "par_windows", 61, &[], |_| leaked(64).par_windows(4));
    check_source(pool, "par_split", 17, &["source"], |seen| {
        leaked(64).par_split(|n| {
            seen.note("source");
            n % 4 == 0
        })
    });
    check_source(pool, "par_chunk_by", 16, &["source"], |seen| {
        leaked(64).par_chunk_by(|a, b| {
            seen.note("source");
            a / 4 == b / 4
        })
    });
    let text: &str = "some text\n".repeat(64).leak();
    check_source(pool, "par_chars", 640, &[], |_| text.par_chars());
    check_source(pool, "par_bytes", 640, &[], |_| text.par_bytes());
    check_source(pool, "par_lines", 64, &[], |_| text.par_lines());
    check_source(pool, "par_split_whitespace", 128, &[], |_| text.par_split_whitespace());
}

#[test]
fn made_up() {
    let pool = &pool(4);
    check_source(pool, "par_bridge", 64, &[], |seen| (0..64).inspect(|_| seen.note("source")).par_bridge());
    check_source(pool, "repeat", 64, &[], |_| rayon::iter::repeat(7).take_any(64));
    check_source(pool, "repeat, zipped", 64, &[], |_| rayon::iter::repeat(7).zip(0..64));
    check_source(pool, "repeat_n", 64, &[], |_| rayon::iter::repeat_n(7, 64));
    check_source(pool, "once", 1, &[], |_| rayon::iter::once(7));
    check_source(pool, "split", 64, &["source"], |seen| {
        rayon::iter::split(0..64, |range: std::ops::Range<u32>| {
            seen.note("source");
            let middle = range.start + (range.end - range.start) / 2;
            if range.len() > 1 { (range.start..middle, Some(middle..range.end)) } else { (range, None) }
        })
        .flat_map_iter(|range| range)
    });
    let children = |seen: &'static Seen| {
        move |n: &u32| {
            seen.note("source");
            [2 * n, 2 * n + 1].into_iter().filter(|n| *n < 64)
        }
    };
    check_source(pool, "walk_tree", 63, &["source"], |seen| rayon::iter::walk_tree(1, children(seen)));
    check_source(pool, "walk_tree_prefix", 63, &["source"], |seen| rayon::iter::walk_tree_prefix(1, children(seen)));
    check_source(pool, "walk_tree_postfix", 63, &["source"], |seen| rayon::iter::walk_tree_postfix(1, children(seen)));
}

#[test]
fn nothing_to_do() {
    let pool = &pool(4);
    check_source(pool, "empty", 0, &[], |_| rayon::iter::empty::<u32>());
    check_source(pool, "empty range", 0, &[], |_| (0..0).into_par_iter());
    check_source(pool, "empty Vec", 0, &[], |_| Vec::<u32>::new().into_par_iter());
    check_source(pool, "empty slice in chunks", 0, &[], |_| leaked(0).par_chunks(4));
    check_source(pool, "empty iterator, bridged", 0, &[], |_| std::iter::empty::<u32>().par_bridge());
    check_source(pool, "empty string", 0, &[], |_| "".par_lines());
    check_source(pool, "None", 0, &[], |_| None::<u32>.into_par_iter());
    check_source(pool, "repeat_n, none", 0, &[], |_| rayon::iter::repeat_n(7, 0));
    check_source(pool, "nothing zipped", 0, &[], |_| leaked(0).par_iter().zip(leaked(64).par_iter()).rev());
}

// ---- Panics, release, drops ------------------------------------------------------------------------------------------

/// A job that the first call runs.
struct Once(Mutex<Option<Job>>);

impl Once {
    fn run(&self) -> Output {
        let job = self.0.lock().unwrap().take();
        job.map_or(Ok(7), |job| job())
    }
}

/// Checks a chain that calls the job somewhere: how it ends, what the job sees, that the context is let go.
fn check_job(name: &str, drive: impl Fn(&Case, &Once) -> Output + Sync) {
    let pool = pool(4);
    check_closure(name, &[Fate::Completes, Fate::Errors, Fate::Panics], |case, job| {
        let job = Once(Mutex::new(Some(job)));
        let ended = catch(|| pool.install(|| drive(case, &job)));
        assert_workers_are_clean(&pool, &case.name);
        ended
    });
}

#[test]
fn results_and_panics_arrive() {
    let both = Output::and;
    check_job("leaf", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.map(|_| job.run())));
        it.reduce(|| Ok(7), both)
    });
    check_job("leaf, pulled", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.enumerate().filter(|_| true).map(|_| job.run())));
        it.reduce(|| Ok(7), both)
    });
    check_job("leaf, zipped", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.map(|_| job.run()).zip(numbers())));
        it.map(|(output, _)| output).reduce(|| Ok(7), both)
    });
    check_job("chunk", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.chunks(4).map(|_| job.run())));
        it.reduce(|| Ok(7), both)
    });
    check_job("inner item", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.flat_map(|_| numbers().map(|_| job.run()))));
        it.reduce(|| Ok(7), both)
    });
    check_job("init", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.map_init(|| job.run(), |init, _| *init)));
        it.reduce(|| Ok(7), both)
    });
    check_job("identity", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it));
        it.fold(|| job.run(), |output, _| output).reduce(|| Ok(7), both)
    });
    check_job("reducer", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.map(|_| Ok(7))));
        it.reduce(|| Ok(7), |a, b| job.run().and(a).and(b))
    });
    check_job("consumer", |case, job| {
        let it = case.submit(|| numbers().in_current_context(|it| it.rev()));
        it.try_for_each(|_| job.run().map(drop)).map(|()| 7)
    });
}

/// An item that notes the context in which it is dropped.
struct Dropped(&'static Seen);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note("drop");
    }
}

#[test]
fn items_that_are_not_asked_for_are_dropped_inside() {
    let pool = pool(4);
    let items = |seen| (0..64).map(|_| Dropped(seen)).collect::<Vec<_>>().into_par_iter();
    let check = |name, drive: fn(rayon::vec::IntoIter<Dropped>)| {
        let seen = Seen::leaked();
        pool.install(|| drive(items(seen)));
        assert_eq!(Vec::from_iter(seen.places()), ["drop"], "{name}");
        assert_eq!(Vec::from_iter(seen.escapes(Some("bound"))), [""; 0], "{name}");
    };
    check("undriven", |it| drop(it.with_context(tagged("bound"))));
    check("undriven chain", |it| drop(it.in_context(tagged("bound"), |it| it.enumerate().filter(|_| true))));
    check("skip", |it| it.in_context(tagged("bound"), |it| it.skip(60)).for_each(drop));
    check("take", |it| it.in_context(tagged("bound"), |it| it.take(4)).for_each(drop));
    check("step_by", |it| it.in_context(tagged("bound"), |it| it.step_by(4)).for_each(drop));
    check("zip with fewer", |it| it.in_context(tagged("bound"), |it| it.zip(0..3)).for_each(drop));
    check("interleave_shortest", |it| {
        it.in_context(tagged("bound"), |it| {
            it.map(Some).interleave_shortest(rayon::iter::repeat_n((), 3).map(|()| None))
        })
        .for_each(drop);
    });
    check("filter", |it| it.in_context(tagged("bound"), |it| it.filter(|_| false)).for_each(drop));
    check("chunks", |it| it.in_context(tagged("bound"), |it| it.chunks(4)).for_each(drop));
    assert_workers_are_clean(&pool, "drops");
}

/// Whether rayon pushes the items through the chain or pulls them, the chain's closures are its own.
#[test]
fn what_the_chain_captured_is_dropped_inside() {
    let pool = pool(4);
    let check = |name, drive: fn(Dropped, Context)| {
        let seen = Seen::leaked();
        pool.install(|| stranger().run(|| drive(Dropped(seen), tagged("bound"))));
        assert_eq!(Vec::from_iter(seen.places()), ["drop"], "{name}");
        assert_eq!(Vec::from_iter(seen.escapes(Some("bound"))), [""; 0], "{name}");
        assert_workers_are_clean(&pool, name);
    };
    // Makes a closure that captures it.
    fn with(dropped: Dropped) -> impl Fn(u32) -> u32 {
        move |n| {
            let _ = &dropped;
            n
        }
    }
    check("undriven", |dropped, cx| drop(numbers().map(with(dropped)).with_context(cx)));
    check("pushed", |dropped, cx| numbers().map(with(dropped)).with_context(cx).for_each(drop));
    check("pushed, unindexed", |dropped, cx| {
        numbers().filter(|_| true).map(with(dropped)).with_context(cx).for_each(drop)
    });
    check("enumerate", |dropped, cx| numbers().map(with(dropped)).with_context(cx).enumerate().for_each(drop));
    check("rev", |dropped, cx| numbers().map(with(dropped)).with_context(cx).rev().for_each(drop));
    check("zip", |dropped, cx| numbers().map(with(dropped)).with_context(cx).zip(numbers()).for_each(drop));
    check("zipped", |dropped, cx| numbers().zip(numbers().map(with(dropped)).with_context(cx)).for_each(drop));
    check("chunks", |dropped, cx| numbers().map(with(dropped)).with_context(cx).chunks(4).for_each(drop));
    check("a whole chain", |dropped, cx| {
        numbers().in_context(cx, |it| it.map(with(dropped)).enumerate()).for_each(drop)
    });
    check("skip", |dropped, cx| numbers().map(with(dropped)).with_context(cx).skip(4).for_each(drop));
}

/// See the docs of `in_current_context` for where the others are dropped.
#[test]
fn every_item_is_dropped_once_after_an_early_end() {
    let pool = pool(4);
    let held = Arc::new(());
    let items = vec![held.clone(); 1000];
    let context = tagged("bound").with_value(held.clone());
    let found =
        pool.install(|| items.into_par_iter().in_context(context, |it| it.enumerate()).find_any(|(n, _)| n % 100 == 7));
    assert_eq!(found.unwrap().0 % 100, 7);
    assert_eq!(Arc::strong_count(&held), 1, "the items and the context are gone");
}

// ---- More than one context -------------------------------------------------------------------------------------------

/// Checks which context each place sees.
fn check_places(name: &str, expected: &[(&'static str, &'static str)], drive: impl Fn(&'static Seen) + Sync) {
    let (pool, seen) = (pool(4), Seen::leaked());
    pool.install(|| drive(seen));
    for (place, tag) in expected {
        assert!(!seen.escapes(Some(tag)).contains(place), "{name}: {place} sees only {tag}");
    }
    assert_eq!(seen.places().len(), expected.len(), "{name}: all places");
    assert!(seen.threads() > 1, "{name}: more than one thread took part");
    assert_workers_are_clean(&pool, name);
}

#[test]
fn of_two_contexts_bound_one_after_the_other_the_inner_one_wins() {
    let expected = [("before", "inner"), ("end", "inner")];
    check_places("pushed", &expected, |seen| {
        let it = numbers().in_context(tagged("inner"), |it| it.map(seen.pass("before")));
        it.in_context(tagged("outer"), |it| it).for_each(seen.end("end"));
    });
    check_places("pulled", &expected, |seen| {
        let it = numbers().in_context(tagged("inner"), |it| it.map(seen.pass("before")));
        it.in_context(tagged("outer"), |it| it.enumerate()).for_each(seen.end("end"));
    });
    // The outer one is left what the inner one does not cover.
    check_places("chunks", &[("before", "inner"), ("end", "outer")], |seen| {
        let it = numbers().in_context(tagged("inner"), |it| it.map(seen.pass("before")));
        it.in_context(tagged("outer"), |it| it.chunks(4)).for_each(seen.end("end"));
    });
}

/// As the docs of `in_context` have it.
#[test]
fn two_contexts_side_by_side() {
    let bound = |tag| numbers().with_context(tagged(tag));
    let right = [("left", "right"), ("right", "right"), ("end", "right")];
    check_places("zip", &right, |seen| {
        let other = bound("right").map(seen.pass("right"));
        bound("left").map(seen.pass("left")).zip(other).for_each(seen.end("end"));
    });
    check_places("interleave", &right, |seen| {
        let other = bound("right").map(seen.pass("right"));
        bound("left").map(seen.pass("left")).interleave(other).for_each(seen.end("end"));
    });
    check_places("chain", &[("left", "left"), ("right", "right")], |seen| {
        let other = bound("right").map(seen.pass("right"));
        bound("left").map(seen.pass("left")).chain(other).for_each(drop);
    });
}

thread_local!(static TENANT: Cell<u32> = const { Cell::new(0) });

#[derive(Clone)]
struct Tenant(u32);

struct Reset(u32, PhantomData<*const ()>);

impl Drop for Reset {
    fn drop(&mut self) {
        TENANT.set(self.0);
    }
}

impl Snapshot for Tenant {
    type Guard = Reset;

    fn capture() -> Self {
        Tenant(TENANT.get())
    }

    fn attach(self) -> Reset {
        Reset(TENANT.replace(self.0), PhantomData)
    }
}

#[test]
fn a_snapshot_of_your_own_travels_along() {
    let pool = pool(4);
    let seen = Seen::leaked();
    pool.install(|| {
        numbers()
            .in_context((tagged("bound"), Tenant(42)), |it| it.map(|_| TENANT.get()).enumerate().chunks(4))
            .flatten_iter()
            .for_each(|(_, tenant)| {
                seen.at("end");
                assert_eq!((tenant, TENANT.get()), (42, 42));
            });
    });
    assert_eq!(Vec::from_iter(seen.escapes(Some("bound"))), [""; 0]);
    assert!(seen.threads() > 1);
    assert_workers_are_clean(&pool, "tuple");
    assert_eq!(pool.broadcast(|_| TENANT.get()), [0; 4]);
}

#[test]
fn a_context_is_attached_for_each_piece_and_not_for_each_item() {
    let pool = pool(4);
    let check = |name, drive: &(dyn Fn(Counted) -> usize + Sync)| {
        let counted = Counted::capture();
        let pieces = pool.install(|| drive(counted.clone()));
        let attached = counted.times();
        assert!(pieces > 1 && attached >= pieces, "{name}: {pieces} pieces, attached {attached} times");
        assert!(attached <= 12 * pieces, "{name}: {pieces} pieces, attached {attached} times");
    };
    let items = || (0..100_000).into_par_iter().with_min_len(10_000);
    check("pushed", &|cx| items().in_context(cx, |it| it.map(|n| n + 1)).fold(|| 0, |_, _| 1).sum());
    check("pulled", &|cx| items().in_context(cx, |it| it.enumerate()).fold(|| 0, |_, _| 1).sum());
}

/// Sorts are no iterators: their closures attach the context.
#[test]
fn sorts() {
    let pool = pool(4);
    let check = |name, sort: fn(&mut Vec<u32>, Context, &'static Seen)| {
        for (context, expected) in [(tagged("bound"), Some("bound")), (Context::new(), None)] {
            let seen = Seen::leaked();
            // Long enough for every algorithm to go parallel, and not sorted yet.
            let mut items: Vec<_> = (0..8_000_u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
            let mut expected_items = items.clone();
            expected_items.sort();
            pool.install(|| sort(&mut items, context, seen));
            assert!(items == expected_items, "{name}: sorted");
            assert_eq!(Vec::from_iter(seen.places()), ["closure"], "{name}");
            assert_eq!(Vec::from_iter(seen.escapes(expected)), [""; 0], "{name}, in {expected:?}");
            assert_workers_are_clean(&pool, name);
        }
    };
    check("par_sort_by", |items, cx, seen| {
        items.par_sort_by(|a, b| {
            cx.run(|| {
                seen.note("closure");
                a.cmp(b)
            })
        });
    });
    check("par_sort_by_key", |items, cx, seen| {
        items.par_sort_by_key(|n| {
            cx.run(|| {
                seen.note("closure");
                *n
            })
        });
    });
    check("par_sort_by_cached_key", |items, cx, seen| {
        items.par_sort_by_cached_key(|n| {
            cx.run(|| {
                seen.note("closure");
                *n
            })
        });
    });
    check("par_sort_unstable_by", |items, cx, seen| {
        items.par_sort_unstable_by(|a, b| {
            cx.run(|| {
                seen.note("closure");
                a.cmp(b)
            })
        });
    });
    check("par_sort_unstable_by_key", |items, cx, seen| {
        items.par_sort_unstable_by_key(|n| {
            cx.run(|| {
                seen.note("closure");
                *n
            })
        });
    });
}
