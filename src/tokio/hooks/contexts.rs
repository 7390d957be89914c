use std::{
    array,
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ::tokio::task::Id;
use opentelemetry::Context;

use crate::trail::Hop;

const PARTS: usize = 64;

/// The contexts of tasks, by the tasks' ids, in parts with a lock each.
pub(super) struct Contexts {
    parts: [Mutex<Part>; PARTS],
    /// How many contexts a part may have.
    part_capacity: usize,
    refused: AtomicU64,
}

type Part = HashMap<Id, OfTask, BuildHasherDefault<IdHasher>>;

/// The context of a task, and what is noted of its spawn.
#[derive(Clone)]
pub(super) struct OfTask {
    pub(super) context: Context,
    pub(super) hop: Hop,
}

impl Contexts {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            parts: array::from_fn(|_| Mutex::default()),
            part_capacity: capacity.div_ceil(PARTS),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn insert(&self, id: Id, task: OfTask) {
        let mut part = self.part(id);
        if part.len() < self.part_capacity {
            part.insert(id, task);
        } else {
            drop(part);
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, id: Id) -> Option<OfTask> {
        self.part(id).get(&id).cloned()
    }

    pub(super) fn remove(&self, id: Id) -> Option<OfTask> {
        self.part(id).remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn part(&self, id: Id) -> MutexGuard<'_, Part> {
        // The map itself goes by the low bits and the seven highest.
        let hash = BuildHasherDefault::<IdHasher>::default().hash_one(id);
        lock(&self.parts[(hash >> 48) as usize % PARTS])
    }
}

/// Nothing that runs under the lock can leave a part half-changed.
fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Task ids are numbers that count up, so one multiplication spreads them. (Fibonacci hashing: 2⁶⁴ by the golden ratio.)
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
