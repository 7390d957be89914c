//! Which records of a partition are in hand. It knows nothing of Kafka's client, so that its tests need none.

use std::collections::BTreeMap;

/// One partition, as one stream of records reads it.
///
/// A consumer group has one position in a partition, and what is before it is done. So nothing is stored beyond the lowest
/// record in hand, and a record that nobody settles is read again, with all after it.
pub(super) struct Partition {
    /// By offset.
    in_hand: BTreeMap<i64, Held>,
    /// The number of the latest reading.
    readings: u64,
    /// After the highest record that is done.
    done: i64,
    stored: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A record of this reading.
    Reading(u64),
    /// Nobody: the consumer was told to read from here again. It is the highest.
    Again,
    /// Nobody: the caller tells the consumer so.
    NotYet,
}

impl Partition {
    /// Nothing is read yet.
    pub(super) const fn new() -> Self {
        Self { in_hand: BTreeMap::new(), readings: 0, done: i64::MAX, stored: i64::MAX }
    }

    /// A record comes. Returns the number of its reading, or `None` if it comes too early: a record before it has to be read
    /// again, and then this one is, too.
    ///
    /// `seek` tells the consumer where to read on, and after that no record comes that was fetched before.
    pub(super) fn deliver<E>(
        &mut self,
        offset: i64,
        seek: impl FnOnce(i64) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        if let Some(mut highest) = self.in_hand.last_entry() {
            let at = *highest.key();
            match highest.get() {
                Held::NotYet if at < offset => {
                    seek(at)?;
                    highest.insert(Held::Again);
                    return Ok(None);
                }
                // A higher offset comes where the record is not in the log any more.
                Held::Again => drop(highest.remove()),
                Held::NotYet | Held::Reading(_) => {}
            }
        }
        // A lower offset comes after a seek and after a rebalance. What is after it comes again.
        self.in_hand.split_off(&offset);
        if offset < self.done {
            self.done = offset;
            self.stored = self.stored.min(offset);
        }
        self.readings += 1;
        self.in_hand.insert(offset, Held::Reading(self.readings));
        Ok(Some(self.readings))
    }

    /// A record is done. `store` stores the offset at which the group would go on.
    pub(super) fn ack<E>(
        &mut self,
        offset: i64,
        reading: u64,
        store: impl FnOnce(i64) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.is_held(offset, reading) {
            return Ok(());
        }
        let done = self.done.max(offset + 1);
        let lowest = self.in_hand.keys().find(|other| **other != offset);
        let position = lowest.map_or(done, |lowest| done.min(*lowest));
        if position > self.stored {
            store(position)?;
            self.stored = position;
        }
        self.done = done;
        self.in_hand.remove(&offset);
        Ok(())
    }

    /// Has the consumer read a record again, and all after it. After a `seek` that failed, the next record that comes asks again.
    pub(super) fn read_again<E>(
        &mut self,
        offset: i64,
        reading: u64,
        seek: impl FnOnce(i64) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.is_held(offset, reading) {
            return Ok(());
        }
        self.in_hand.split_off(&offset);
        self.in_hand.insert(offset, Held::NotYet);
        seek(offset)?;
        self.in_hand.insert(offset, Held::Again);
        Ok(())
    }

    /// Otherwise the record is read again anyway, or was.
    fn is_held(&self, offset: i64, reading: u64) -> bool {
        self.in_hand.get(&offset) == Some(&Held::Reading(reading))
    }
}
