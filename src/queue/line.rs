use std::{collections::BTreeMap, mem, task::Waker};

/// Tasks that wait, in the order in which they came.
///
/// Whoever has a place and is not in the line any more has been called. The methods take wakers that are cloned already, and
/// give wakers back instead of waking or dropping them, because each of the three may run a stranger's code, which must not
/// happen while the store is locked.
#[derive(Default)]
pub(super) struct Line {
    last: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Line {
    /// Waits at `place`, or at the end of the line without one. The place is kept from then on: who waits again does not
    /// go to the end. Returns the waker that this one replaces.
    #[must_use]
    pub(super) fn wait(&mut self, place: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let place = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.waiting.insert(place, waker)
    }

    /// Whether `place` waits, and will wake the same task.
    pub(super) fn waits_with(&self, place: Option<u64>, waker: &Waker) -> bool {
        place.and_then(|place| self.waiting.get(&place)).is_some_and(|waiting| waiting.will_wake(waker))
    }

    pub(super) fn is_waiting(&self, place: u64) -> bool {
        self.waiting.contains_key(&place)
    }

    /// `None` if the place has been called.
    #[must_use]
    pub(super) fn leave(&mut self, place: u64) -> Option<Waker> {
        self.waiting.remove(&place)
    }

    #[must_use]
    pub(super) fn call_first(&mut self) -> Option<Waker> {
        self.waiting.pop_first().map(|(_, waker)| waker)
    }

    pub(super) fn call_all(&mut self, called: &mut Vec<Waker>) {
        if self.waiting.is_empty() {
            return;
        }
        called.extend(mem::take(&mut self.waiting).into_values());
    }
}
