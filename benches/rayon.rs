//! What the context costs in rayon: a cheap map and sum of ten million numbers, and a recursion of joins.
//!
//! Before criterion's own figures come the medians of the ratios to the bare thing, of runs that alternate, so that a
//! busy machine is busy for all of them alike: `cargo bench --bench rayon`.

mod measure;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use ctxhop::prelude::*;
use measure::compare;
use opentelemetry::Context;

use rayon::prelude::*;

const ITEMS: usize = 10_000_000;

/// What all variants do for an item: not nothing, but cheap.
fn work(n: usize) -> u64 {
    (black_box(n) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

type Variant = (&'static str, fn() -> u64);

const MAP_SUM: [Variant; 4] = [
    ("bare", || (0..ITEMS).into_par_iter().map(work).sum()),
    ("with_current_context", || (0..ITEMS).into_par_iter().with_current_context().map(work).sum()),
    ("in_current_context", || (0..ITEMS).into_par_iter().in_current_context(|it| it.map(work)).sum()),
    ("attached per item", || {
        let cx = Context::current();
        (0..ITEMS).into_par_iter().map(|n| cx.run(|| work(n))).sum()
    }),
];

/// Behind `enumerate`, rayon pulls the items.
const PULLED: [Variant; 3] = [
    ("bare", || (0..ITEMS).into_par_iter().enumerate().map(|(_, n)| work(n)).sum()),
    ("with_current_context", || {
        (0..ITEMS).into_par_iter().with_current_context().enumerate().map(|(_, n)| work(n)).sum()
    }),
    ("in_current_context", || {
        (0..ITEMS).into_par_iter().in_current_context(|it| it.enumerate().map(|(_, n)| work(n))).sum()
    }),
];

const FIB: [Variant; 3] = [
    ("bare", || fib(30, &bare_join)),
    ("ctxhop::rayon::join", || fib(30, &bound_join)),
    // What is left without the context's reference counts, for which the threads contend.
    ("ctxhop::rayon::join, in no context", || Context::new().run(|| fib(30, &bound_join))),
];

type Join = dyn Fn(u64) -> (u64, u64) + Sync;

fn bare_join(n: u64) -> (u64, u64) {
    rayon::join(|| fib(n - 1, &bare_join), || fib(n - 2, &bare_join))
}

fn bound_join(n: u64) -> (u64, u64) {
    ctxhop::rayon::join(|| fib(n - 1, &bound_join), || fib(n - 2, &bound_join))
}

fn fib(n: u64, join: &Join) -> u64 {
    if n < 10 {
        return sequential_fib(n);
    }
    let (a, b) = join(n);
    a + b
}

fn sequential_fib(n: u64) -> u64 {
    if black_box(n) < 2 { n } else { sequential_fib(n - 1) + sequential_fib(n - 2) }
}

fn benches(criterion: &mut Criterion) {
    let _guard = Context::current_with_value("request 7").attach();
    for (name, variants) in [("map and sum", &MAP_SUM[..]), ("enumerate, map and sum", &PULLED), ("fib 30", &FIB)] {
        let mut runs: Vec<_> = variants.iter().map(|(variant, run)| (*variant, || _ = black_box(run()))).collect();
        let mut runs: Vec<(_, &mut dyn FnMut())> = runs.iter_mut().map(|(variant, run)| (*variant, run as _)).collect();
        compare(name, 101, &mut runs);
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
        for (variant, run) in variants {
            group.bench_function(*variant, |bencher| bencher.iter(run));
        }
    }
}

criterion_group!(rayon_benches, benches);
criterion_main!(rayon_benches);
