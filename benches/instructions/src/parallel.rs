//! rayon on one thread, where nobody steals, so that each run takes the same path.

use std::hint::black_box;

use ctxhop::prelude::*;
use rayon::{ThreadPoolBuilder, prelude::*};

use crate::{Case, context};

/// The work of a thousand rounds is one sum, so a round is a thousand numbers, or one recursion.
const AT_ONCE: u32 = 1_000;

const NUMBERS: usize = 1_000_000;

pub(crate) const CASES: &[Case] = &[
    ("parallel sum", "bare", |rounds| sums(rounds, |numbers| numbers.map(work).sum())),
    ("parallel sum", "ctxhop", |rounds| sums(rounds, |numbers| numbers.with_current_context().map(work).sum())),
    ("parallel sum, pulled", "bare", |rounds| sums(rounds, |numbers| numbers.enumerate().map(|(_, n)| work(n)).sum())),
    ("parallel sum, pulled", "ctxhop", |rounds| {
        sums(rounds, |numbers| numbers.with_current_context().enumerate().map(|(_, n)| work(n)).sum());
    }),
    // A recursion of some thousand joins, with some hundred instructions of work between two of them.
    ("join", "bare", |rounds| joins(rounds, &|n, fib| rayon::join(|| fib(n - 1), || fib(n - 2)))),
    ("join", "ctxhop", |rounds| joins(rounds, &|n, fib| ctxhop::rayon::join(|| fib(n - 1), || fib(n - 2)))),
];

/// On this thread alone, with a context.
fn on_one_thread(rounds: u32, mut run: impl FnMut() -> u64) {
    let _guard = context().attach();
    ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().expect("the first pool");
    for _ in 0..rounds / AT_ONCE {
        black_box(run());
    }
}

fn sums(rounds: u32, sum: fn(rayon::range::Iter<usize>) -> u64) {
    on_one_thread(rounds, || sum((0..NUMBERS).into_par_iter()));
}

fn work(n: usize) -> u64 {
    (black_box(n) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

type Join = dyn Fn(u64, &(dyn Fn(u64) -> u64 + Sync)) -> (u64, u64) + Sync;

fn joins(rounds: u32, join: &Join) {
    fn fib(n: u64, join: &Join) -> u64 {
        if n < 10 {
            return sequential(n);
        }
        let (a, b) = join(n, &|n| fib(n, join));
        a + b
    }
    fn sequential(n: u64) -> u64 {
        if black_box(n) < 2 { n } else { sequential(n - 1) + sequential(n - 2) }
    }
    on_one_thread(rounds, || fib(25, join));
}
