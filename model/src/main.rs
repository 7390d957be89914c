//! Explores the schedules of the queue's own code: its store, the lines of waiting tasks, and the blocking calls, compiled
//! with shuttle's locks in place of std's.
//!
//! ```sh
//! cargo run --release --manifest-path model/Cargo.toml                        # 20 seconds
//! cargo run --release --manifest-path model/Cargo.toml -- 600                 # 10 minutes
//! cargo run --release --manifest-path model/Cargo.toml -- "a case" SCHEDULE   # what has failed, once more
//! ```
//!
//! A case panics if an invariant breaks. Shuttle panics if all threads wait for each other, as they do when somebody is not
//! woken, and prints the schedule.

#[path = "../../src/queue/blocking.rs"]
mod blocking;
mod cases;
#[path = "../../src/queue/line.rs"]
mod line;
#[allow(dead_code, reason = "the cases do not ask for everything")]
#[path = "../../src/queue/store.rs"]
mod store;

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

/// What the queue takes from std.
mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

/// Explored before the clock is read again.
const SCHEDULES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    let seconds = match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 20,
        [seconds] => seconds.parse()?,
        [name, schedule] => {
            let (_, case) = cases::ALL.iter().find(|(case, _)| case == name).ok_or("there is no such case")?;
            shuttle::replay(case, schedule);
            return Ok(());
        }
        _ => return Err("usage: model [SECONDS | CASE SCHEDULE]".into()),
    };
    let each = Duration::from_secs(seconds) / cases::ALL.len() as u32;
    for (name, case) in cases::ALL {
        println!("{name} …");
        println!("{} schedules", explore(*case, each));
    }
    Ok(())
}

/// Half of the schedules change threads anywhere, the other half seldom: that finds other faults.
fn explore(case: fn(), time: Duration) -> usize {
    let start = Instant::now();
    let mut schedules = 0;
    while start.elapsed() < time {
        schedules += Runner::new(RandomScheduler::new(SCHEDULES), Config::new()).run(case);
        schedules += Runner::new(PctScheduler::new(3, SCHEDULES), Config::new()).run(case);
    }
    schedules
}
