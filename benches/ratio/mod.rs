//! Ratios that hold on a busy machine: the variants run in turn, round by round, and so are disturbed alike.

use std::time::{Duration, Instant};

/// Prints each variant's time relative to the first one's: the median of the rounds' ratios, and its fastest run.
pub(crate) fn compare(name: &str, rounds: usize, variants: &mut [(&str, &mut dyn FnMut())]) {
    let mut time = || -> Vec<Duration> {
        let timed = variants.iter_mut().map(|(_, run)| {
            let start = Instant::now();
            run();
            start.elapsed()
        });
        timed.collect()
    };
    let rounds: Vec<_> = (0..rounds).map(|_| time()).collect();
    let (first, _) = variants[0];
    for (at, (variant, _)) in variants.iter().enumerate() {
        let mut ratios: Vec<_> = rounds.iter().map(|round| round[at].as_secs_f64() / round[0].as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        let fastest = rounds.iter().map(|round| round[at]).min().unwrap_or_default();
        println!("{name}, {variant}: {median:.3} of {first} (median), {fastest:.1?} (fastest)");
    }
}
