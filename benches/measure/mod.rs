//! Ratios that hold on a busy machine: the variants run in turn, round by round, and so are disturbed alike.

#![allow(dead_code, reason = "each bench uses its part")]

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    time::{Duration, Instant},
};

/// A variant of some work: its name, and the work.
pub(crate) type Variant<'a> = (&'a str, &'a mut dyn FnMut());

/// How long each variant took in each round.
pub(crate) struct Rounds {
    /// By variant, then by round.
    times: Vec<Vec<Duration>>,
}

/// The middle of what many rounds gave, and the quarters that half of them lie between.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Rounds {
    /// Nanoseconds.
    pub(crate) fn time(&self, variant: usize) -> Spread {
        Spread::of(self.times[variant].iter().map(|time| time.as_secs_f64() * 1e9).collect())
    }

    /// The ratios of the times of one variant to those of another, each of one round.
    pub(crate) fn ratio(&self, variant: usize, to: usize) -> Spread {
        let pairs = self.times[variant].iter().zip(&self.times[to]);
        Spread::of(pairs.map(|(time, to)| time.as_secs_f64() / to.as_secs_f64()).collect())
    }

    pub(crate) fn fastest(&self, variant: usize) -> Duration {
        self.times[variant].iter().min().copied().unwrap_or_default()
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }

    pub(crate) fn scaled(self, by: f64) -> Self {
        Self { low: self.low * by, median: self.median * by, high: self.high * by }
    }
}

/// Runs all variants in each round, in another order each time, so that none always comes after the same one. One round
/// before does not count.
pub(crate) fn measure(rounds: usize, variants: &mut [Variant<'_>]) -> Rounds {
    let mut times = vec![Vec::with_capacity(rounds); variants.len()];
    let mut order: Vec<_> = (0..variants.len()).collect();
    let random = RandomState::new();
    for round in 0..=rounds {
        order.sort_by_key(|variant| random.hash_one((round, variant)));
        for &variant in &order {
            let start = Instant::now();
            (variants[variant].1)();
            let time = start.elapsed();
            if round > 0 {
                times[variant].push(time);
            }
        }
    }
    Rounds { times }
}

/// Prints each variant's time relative to the first one's: the median of the rounds' ratios, and its fastest run.
pub(crate) fn compare(name: &str, rounds: usize, variants: &mut [Variant<'_>]) {
    let measured = measure(rounds, variants);
    let (first, _) = variants[0];
    for (at, (variant, _)) in variants.iter().enumerate() {
        let (ratio, fastest) = (measured.ratio(at, 0).median, measured.fastest(at));
        println!("{name}, {variant}: {ratio:.3} of {first} (median), {fastest:.1?} (fastest)");
    }
}
