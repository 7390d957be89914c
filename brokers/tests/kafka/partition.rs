//! The bookkeeping of one partition, in many random schedules, with seeks and stores that fail.

#[path = "../../../src/clients/rdkafka_0_39/partition.rs"]
mod bookkeeping;

use std::collections::BTreeSet;

use bookkeeping::Partition;

const RECORDS: i64 = 6;

/// A partition of a broker, and its reader.
#[derive(Default)]
struct Log {
    /// What is read next.
    position: i64,
    stored: i64,
    done: BTreeSet<i64>,
    /// Not in the log any more.
    gone: BTreeSet<i64>,
    in_hand: Vec<(i64, u64)>,
}

/// Xorshift, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

impl Log {
    fn deliver(&mut self, partition: &mut Partition, seek_fails: bool) {
        while self.gone.contains(&self.position) {
            self.position += 1;
        }
        if self.position == RECORDS {
            return;
        }
        let offset = self.position;
        self.position += 1;
        let delivered = partition.deliver(offset, |to| seek(&mut self.position, to, seek_fails));
        if let Ok(Some(reading)) = delivered {
            self.in_hand.push((offset, reading));
        }
    }

    /// As when a log is compacted. The last record stays.
    fn compact(&mut self, offset: i64) {
        if offset < RECORDS - 1 && self.in_hand.iter().all(|(other, _)| *other != offset) {
            self.gone.insert(offset);
            self.done.insert(offset);
        }
    }

    fn ack(&mut self, partition: &mut Partition, at: usize, store_fails: bool) {
        let (offset, reading) = self.in_hand.swap_remove(at);
        let acked = partition.ack(offset, reading, |position| {
            if store_fails {
                return Err(());
            }
            self.done.insert(offset);
            self.stored = position;
            Ok(())
        });
        match acked {
            Ok(()) => drop(self.done.insert(offset)),
            Err(()) => self.in_hand.push((offset, reading)),
        }
        let passed = (0..self.stored).find(|offset| !self.done.contains(offset));
        assert_eq!(passed, None, "stored {}, done {:?}", self.stored, self.done);
    }

    fn read_again(&mut self, partition: &mut Partition, at: usize, seek_fails: bool) {
        let (offset, reading) = self.in_hand.swap_remove(at);
        partition.read_again(offset, reading, |to| seek(&mut self.position, to, seek_fails)).ok();
    }
}

fn seek(position: &mut i64, to: i64, fails: bool) -> Result<(), ()> {
    if fails {
        return Err(());
    }
    *position = to;
    Ok(())
}

/// After a rebalance, a record comes again while its first handler is still at work.
#[test]
fn a_reading_that_has_ended_settles_nothing() {
    let mut partition = Partition::new();
    let deliver = |partition: &mut Partition| partition.deliver(0, |_| Err("no seek")).unwrap().unwrap();
    let (first, second) = (deliver(&mut partition), deliver(&mut partition));
    partition.ack(0, first, |_| Err("no store")).unwrap();
    partition.read_again(0, first, |_| Err("no seek")).unwrap();
    let mut stored = None;
    let store = |position| {
        stored = Some(position);
        Ok::<_, ()>(())
    };
    partition.ack(0, second, store).unwrap();
    assert_eq!(stored, Some(1));
}

#[test]
fn a_record_that_comes_again_by_itself_needs_no_seek() {
    let mut partition = Partition::new();
    let reading = partition.deliver(0, |_| Err("no seek")).unwrap().unwrap();
    partition.read_again(0, reading, |_| Err("the seek fails")).unwrap_err();
    assert!(partition.deliver(0, |_| Err("no seek")).unwrap().is_some());
}

#[test]
fn no_record_is_passed_by_and_all_are_stored_in_the_end() {
    for seed in 1..20_000 {
        let (mut random, mut log, mut partition) = (Random(seed), Log::default(), Partition::new());
        for _ in 0..30 {
            let (at, fails) = (random.below(log.in_hand.len().max(1)), random.below(4) == 0);
            match random.below(8) {
                7 => log.compact(i64::try_from(random.below(5)).unwrap()),
                _ if log.in_hand.is_empty() => log.deliver(&mut partition, fails),
                0..3 => log.deliver(&mut partition, fails),
                3 | 4 => log.ack(&mut partition, at, fails),
                _ => log.read_again(&mut partition, at, fails),
            }
        }
        // All goes well from now on. A record asks again for the one whose seek failed, so one more has to come.
        log.position = log.position.min(RECORDS - 1);
        while log.stored < RECORDS {
            log.deliver(&mut partition, false);
            let ends = log.position == RECORDS && log.in_hand.is_empty();
            assert!(!ends, "seed {seed}: stored {}, done {:?}", log.stored, log.done);
            while !log.in_hand.is_empty() {
                log.ack(&mut partition, 0, false);
            }
        }
    }
}
