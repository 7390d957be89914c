//! A pool whose threads are a stranger's, and the check of which closures of a parallel iterator are in context.
//!
//! A row of the matrix is a chain of adaptors and what consumes it. It runs with the context bound at the head of the
//! chain, at its tail, and at both, in a context with a tag and in an empty one. Every closure notes its place and the
//! context that it sees. At both ends, no place may see any other context than the bound one; which places escape the
//! head alone or the tail alone is written in the row.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of what is public here")]

use std::{
    cell::RefCell,
    cmp::Ordering,
    collections::{BTreeSet, HashSet},
    fmt::{self, Debug},
    iter::{Product, Sum},
    mem,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{self, AtomicUsize},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use ctxhop::{ContextGuard, Snapshot, WithContext, prelude::*};
use opentelemetry::Context;
use rayon::{ThreadPool, ThreadPoolBuilder, iter::MaxLen, prelude::*, range};

use crate::support::{assert_no_alarm, stranger, tag, tagged};

/// A pool on whose threads the stranger's context is attached for good, so that a job with its own can be told from
/// one that merely finds none.
pub fn pool(threads: usize) -> ThreadPool {
    builder(threads).build().unwrap()
}

pub fn builder(threads: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| mem::forget(stranger().attach()))
}

/// Counts how often it is attached in this process.
#[derive(Clone)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub fn times(&self) -> usize {
        self.0.load(atomic::Ordering::Relaxed)
    }
}

impl Snapshot for Counted {
    type Guard = ();

    fn capture() -> Self {
        Self(Arc::default())
    }

    fn attach(self) {
        self.0.fetch_add(1, atomic::Ordering::Relaxed);
    }
}

/// Asserts that whatever ran in the pool left each of its threads as it was.
#[track_caller]
pub fn assert_workers_are_clean(pool: &ThreadPool, what: impl Debug) {
    assert_no_alarm();
    let tags = pool.broadcast(|_| tag());
    assert_eq!(tags, vec![Some("stranger"); pool.current_num_threads()], "{what:?}: the workers' contexts afterwards");
}

type Note = (&'static str, Option<&'static str>, ThreadId);

/// What the closures saw.
#[derive(Default)]
pub struct Seen {
    notes: Mutex<HashSet<Note>>,
    noted: Condvar,
}

impl Seen {
    /// One for a single run. It is leaked, so that closures and the iterators made of them may hold it freely.
    pub fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Notes the context, and waits until a second thread has taken part: what a thread that is busy does not get to
    /// is stolen, so at least one other comes by. Only for closures that run in parallel.
    pub fn at(&self, place: &'static str) {
        self.note(place);
        let notes = self.notes.lock().unwrap();
        // The limit only turns a hung test into a failed one.
        drop(self.noted.wait_timeout_while(notes, Duration::from_secs(60), |notes| threads(notes) < 2).unwrap());
    }

    /// Like [`at`](Self::at), and waits until a second thread has been at the same place.
    pub fn meet(&self, place: &'static str) {
        self.meet_all(place, 2);
    }

    /// Like [`at`](Self::at), and waits until so many threads have been at the same place.
    pub fn meet_all(&self, place: &'static str, threads: usize) {
        self.note(place);
        let notes = self.notes.lock().unwrap();
        let too_few = |notes: &mut HashSet<Note>| {
            let here = notes.iter().filter(|(at, ..)| *at == place).map(|(.., thread)| thread);
            here.collect::<HashSet<_>>().len() < threads
        };
        drop(self.noted.wait_timeout_while(notes, Duration::from_secs(60), too_few).unwrap());
    }

    /// Notes the context.
    pub fn note(&self, place: &'static str) {
        self.notes.lock().unwrap().insert((place, tag(), thread::current().id()));
        self.noted.notify_all();
    }

    /// A closure that passes on what it gets.
    pub fn pass<T>(&'static self, place: &'static str) -> impl Fn(T) -> T + Copy + Send + Sync {
        move |item| {
            self.at(place);
            item
        }
    }

    /// A closure that takes what it gets.
    pub fn end<T>(&'static self, place: &'static str) -> impl Fn(T) + Copy + Send + Sync {
        move |_| self.at(place)
    }

    /// All places.
    pub fn places(&self) -> BTreeSet<&'static str> {
        self.notes.lock().unwrap().iter().map(|(place, ..)| *place).collect()
    }

    /// The places where another context than this one was seen.
    pub fn escapes(&self, expected: Option<&'static str>) -> BTreeSet<&'static str> {
        self.notes.lock().unwrap().iter().filter(|(_, tag, _)| *tag != expected).map(|(place, ..)| *place).collect()
    }

    /// How many threads took part.
    pub fn threads(&self) -> usize {
        threads(&self.notes.lock().unwrap())
    }
}

fn threads(notes: &HashSet<Note>) -> usize {
    notes.iter().map(|(.., thread)| thread).collect::<HashSet<_>>().len()
}

/// An item that notes the context in which it is cloned, compared and summed up.
pub struct Watched(pub u32, pub &'static Seen);

impl Clone for Watched {
    fn clone(&self) -> Self {
        self.1.note("Clone");
        Self(self.0, self.1)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.1.at("PartialEq");
        self.0 == other.0
    }
}

impl Eq for Watched {}

impl PartialOrd for Watched {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Watched {
    fn cmp(&self, other: &Self) -> Ordering {
        self.1.at("Ord");
        self.0.cmp(&other.0)
    }
}

/// The sum, or product, of [`Watched`].
pub struct Total;

impl Sum<Watched> for Total {
    fn sum<I: Iterator<Item = Watched>>(items: I) -> Self {
        items.for_each(|item| item.1.at("Sum"));
        Total
    }
}

impl Product<Watched> for Total {
    fn product<I: Iterator<Item = Watched>>(items: I) -> Self {
        items.for_each(|item| item.1.at("Product"));
        Total
    }
}

impl Sum for Total {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Total, |_, total| total)
    }
}

impl Product for Total {
    fn product<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Total, |_, total| total)
    }
}

// ---- The matrix ------------------------------------------------------------------------------------------------------

/// A context bound to one end of a chain, or none, which leaves the rows' types the same.
#[derive(Clone)]
pub enum Bind {
    To(Context),
    Not,
}

impl Snapshot for Bind {
    type Guard = Option<ContextGuard>;

    fn capture() -> Self {
        Bind::To(Context::capture())
    }

    fn attach(self) -> Self::Guard {
        match self {
            Bind::To(context) => Some(Snapshot::attach(context)),
            Bind::Not => None,
        }
    }
}

/// The numbers up to this one, in leaves of two: a chain's source.
pub const ITEMS: u32 = 64;

pub type Source = WithContext<MaxLen<range::Iter<u32>>, Bind>;

/// The same numbers, bound to nothing: for adaptors of two iterators.
pub fn numbers() -> MaxLen<range::Iter<u32>> {
    (0..ITEMS).into_par_iter().with_max_len(2)
}

/// Rows that share a pool. When it is dropped it reports all rows that failed.
pub struct Matrix {
    pool: ThreadPool,
    failures: RefCell<Vec<String>>,
}

impl Matrix {
    pub fn new() -> Self {
        Matrix { pool: pool(4), failures: RefCell::default() }
    }

    /// A row, with the places of all its closures.
    pub fn row(&self, name: &'static str, places: &'static [&'static str]) -> Row<'_> {
        Row { matrix: self, name, places, head_misses: &[], tail_misses: &[], splits_miss: &[] }
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        let failures = self.failures.borrow();
        assert!(thread::panicking() || failures.is_empty(), "\n{}", failures.join("\n"));
    }
}

#[must_use = "a row is checked by `check`"]
pub struct Row<'a> {
    matrix: &'a Matrix,
    name: &'static str,
    places: &'static [&'static str],
    head_misses: &'static [&'static str],
    tail_misses: &'static [&'static str],
    splits_miss: &'static [&'static str],
}

impl Row<'_> {
    /// The places that are not in context when only the head of the chain is bound.
    pub fn head_misses(mut self, places: &'static [&'static str]) -> Self {
        self.head_misses = places;
        self
    }

    /// The places that are not in context when only the tail of the chain is bound.
    pub fn tail_misses(mut self, places: &'static [&'static str]) -> Self {
        self.tail_misses = places;
        self
    }

    /// The places that are not in context however the chain is bound, as rayon gets there when it splits the work.
    pub fn splits_miss(mut self, places: &'static [&'static str]) -> Self {
        self.splits_miss = places;
        self
    }

    /// Runs `end` on what `chain` makes of the numbers.
    pub fn check<I: ParallelIterator, R>(
        self,
        chain: impl Fn(Source, &'static Seen) -> I + Sync,
        end: impl Fn(WithContext<I, Bind>, &'static Seen) -> R + Sync,
    ) {
        let ends = [
            ("head", true, false, self.head_misses),
            ("tail", false, true, self.tail_misses),
            ("head and tail", true, true, &[]),
        ];
        for (ends, head, tail, misses) in ends {
            for (context, expected) in [(tagged("bound"), Some("bound")), (Context::new(), None)] {
                let bind = |bound| if bound { Bind::To(context.clone()) } else { Bind::Not };
                let (head, tail, seen) = (bind(head), bind(tail), Seen::leaked());
                self.matrix.pool.install(|| {
                    end(chain(numbers().with_context(head), seen).with_context(tail), seen);
                });
                let what = format!("{}, bound at {ends} to {expected:?}", self.name);
                self.expect(seen.places(), self.places, format_args!("{what}: all places"));
                self.expect(
                    seen.escapes(expected),
                    &[misses, self.splits_miss].concat(),
                    format_args!("{what}: places that escape"),
                );
                self.expect([seen.threads() > 1], &[true], format_args!("{what}: more than one thread took part"));
                assert_workers_are_clean(&self.matrix.pool, what);
            }
        }
    }

    fn expect<T: Copy + Ord + Debug>(
        &self,
        found: impl IntoIterator<Item = T>,
        expected: &[T],
        what: fmt::Arguments<'_>,
    ) {
        let found: BTreeSet<_> = found.into_iter().collect();
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        if found != expected {
            self.matrix.failures.borrow_mut().push(format!("{what}: {found:?}, not {expected:?}"));
        }
    }
}

/// The end of a row that is about adaptors.
pub fn for_each<I: ParallelIterator>(it: I, seen: &'static Seen) {
    it.for_each(seen.end("end"));
}
