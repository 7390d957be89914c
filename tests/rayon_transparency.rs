//! Bound or not, a parallel iterator has the same lengths, and gives the same results in the same order.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use ctxhop::prelude::*;
use opentelemetry::Context;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_assert_eq, prop_oneof, proptest};
use rayon::{
    ThreadPoolBuilder,
    iter::plumbing::{Consumer, Folder, Producer, ProducerCallback, Reducer, UnindexedConsumer},
    prelude::*,
};
use support::tagged;

/// An adaptor that keeps the iterator indexed.
#[derive(Clone, Copy, Debug)]
enum First {
    Map,
    Enumerate,
    Rev,
    Zip,
    Chain,
    Interleave,
    Chunks(usize),
    Skip(usize),
    Take(usize),
    StepBy(usize),
}

/// An adaptor that need not.
#[derive(Clone, Copy, Debug)]
enum Second {
    Nothing,
    Filter,
    FlatMap,
    Rev,
    Zip,
    Chunks(usize),
    Take(usize),
}

/// Binds a chain, or leaves it alone.
trait Bind: Copy {
    fn head(self, it: impl IndexedParallelIterator<Item = u32>) -> impl IndexedParallelIterator<Item = u32>;
    fn tail(self, it: impl ParallelIterator<Item = u32>) -> impl ParallelIterator<Item = u32>;
}

#[derive(Clone, Copy)]
struct Bare;

impl Bind for Bare {
    fn head(self, it: impl IndexedParallelIterator<Item = u32>) -> impl IndexedParallelIterator<Item = u32> {
        it
    }

    fn tail(self, it: impl ParallelIterator<Item = u32>) -> impl ParallelIterator<Item = u32> {
        it
    }
}

/// At its head, and between the two adaptors.
#[derive(Clone, Copy)]
struct Head<'a>(&'a Context);

impl Bind for Head<'_> {
    fn head(self, it: impl IndexedParallelIterator<Item = u32>) -> impl IndexedParallelIterator<Item = u32> {
        it.with_context(self.0.clone())
    }

    fn tail(self, it: impl ParallelIterator<Item = u32>) -> impl ParallelIterator<Item = u32> {
        it
    }
}

#[derive(Clone, Copy)]
struct Both<'a>(&'a Context);

impl Bind for Both<'_> {
    fn head(self, it: impl IndexedParallelIterator<Item = u32>) -> impl IndexedParallelIterator<Item = u32> {
        it.with_context(self.0.clone())
    }

    fn tail(self, it: impl ParallelIterator<Item = u32>) -> impl ParallelIterator<Item = u32> {
        it.with_context(self.0.clone())
    }
}

/// The lengths before the adaptors, between them and behind them, and the items.
type Told = (usize, usize, Option<usize>, Vec<u32>);

fn first(items: &[u32], first: First, second: Second, bind: impl Bind) -> Told {
    let it = bind.head(items.par_iter().copied().with_max_len(4));
    let len = it.len();
    match first {
        First::Map => then(len, it.map(|n| n.wrapping_mul(3)), second, bind),
        First::Enumerate => then(len, it.enumerate().map(|(at, n)| n ^ at as u32), second, bind),
        First::Rev => then(len, it.rev(), second, bind),
        First::Zip => then(len, it.zip(items).map(|(a, b)| a.wrapping_sub(b / 2)), second, bind),
        First::Chain => then(len, it.chain(items.par_iter().copied()), second, bind),
        First::Interleave => then(len, it.interleave(items.par_iter().copied().rev()), second, bind),
        First::Chunks(size) => then(len, it.chunks(size).map(digest), second, bind),
        First::Skip(n) => then(len, it.skip(n), second, bind),
        First::Take(n) => then(len, it.take(n), second, bind),
        First::StepBy(n) => then(len, it.step_by(n), second, bind),
    }
}

fn then(len: usize, it: impl IndexedParallelIterator<Item = u32>, second: Second, bind: impl Bind) -> Told {
    let it = bind.head(it);
    let lens = (len, it.len());
    match second {
        Second::Nothing => tell(lens, bind.tail(it)),
        Second::Filter => tell(lens, bind.tail(it.filter(|n| n % 3 > 0))),
        Second::FlatMap => tell(lens, bind.tail(it.flat_map(|n| [n, n / 2]))),
        Second::Rev => tell(lens, bind.tail(it.rev())),
        Second::Zip => tell(lens, bind.tail(it.zip(0..20_u32).map(|(a, b)| a.wrapping_add(b)))),
        Second::Chunks(size) => tell(lens, bind.tail(it.chunks(size).map(digest))),
        Second::Take(n) => tell(lens, bind.tail(it.take(n))),
    }
}

fn tell((before, between): (usize, usize), it: impl ParallelIterator<Item = u32>) -> Told {
    (before, between, it.opt_len(), it.collect())
}

/// Tells items in another order, or in other chunks, apart.
fn digest(chunk: Vec<u32>) -> u32 {
    chunk.into_iter().fold(17, |digest, n| digest.wrapping_mul(31).wrapping_add(n))
}

fn a_first() -> impl Strategy<Value = First> {
    use First::*;
    prop_oneof![
        prop::sample::select(vec![Map, Enumerate, Rev, Zip, Chain, Interleave]),
        (1..9_usize).prop_map(Chunks),
        (0..20_usize).prop_map(Skip),
        (0..99_usize).prop_map(Take),
        (1..9_usize).prop_map(StepBy),
    ]
}

fn a_second() -> impl Strategy<Value = Second> {
    use Second::*;
    prop_oneof![
        prop::sample::select(vec![Nothing, Filter, FlatMap, Rev, Zip]),
        (1..9_usize).prop_map(Chunks),
        Just(5).prop_map(Take),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Each pair of adaptors works on what the one before it gave.
    #[test]
    fn a_bound_chain_gives_what_the_bare_one_gives(
        mut items in prop::collection::vec(prop::num::u32::ANY, 0..100),
        chain in prop::collection::vec((a_first(), a_second()), 1..4),
    ) {
        let context = tagged("bound");
        for (one, two) in chain {
            let bare = first(&items, one, two, Bare);
            prop_assert_eq!(&first(&items, one, two, Head(&context)), &bare, "{:?}, {:?}: bound at the head", one, two);
            prop_assert_eq!(&first(&items, one, two, Both(&context)), &bare, "{:?}, {:?}: bound at both", one, two);
            items = bare.3;
        }
    }
}

/// The limits of a producer, and of both parts that it splits into.
struct Limits;

impl ProducerCallback<u32> for Limits {
    type Output = [(usize, usize); 3];

    fn callback<P: Producer<Item = u32>>(self, producer: P) -> Self::Output {
        let limits = |producer: &P| (producer.min_len(), producer.max_len());
        let whole = limits(&producer);
        let (left, right) = producer.split_at(8);
        [whole, limits(&left), limits(&right)]
    }
}

#[test]
fn a_bound_producer_has_the_limits_of_the_bare_one() {
    let numbers = || (0..64_u32).into_par_iter();
    assert_eq!(numbers().with_min_len(3).with_context(tagged("bound")).with_producer(Limits), [(3, usize::MAX); 3]);
    assert_eq!(numbers().with_max_len(5).with_context(tagged("bound")).with_producer(Limits), [(1, 5); 3]);
}

/// What a leaf that has given some items says of the rest.
struct Rest;

impl ProducerCallback<u32> for Rest {
    type Output = ((usize, Option<usize>), usize);

    fn callback<P: Producer<Item = u32>>(self, producer: P) -> Self::Output {
        let mut rest = producer.split_at(8).1.into_iter();
        assert_eq!(
            (rest.next(), rest.next_back(), rest.nth(1), rest.nth_back(1)),
            (Some(8), Some(63), Some(10), Some(61))
        );
        (rest.size_hint(), rest.len())
    }
}

#[test]
fn a_bound_leaf_tells_how_much_is_left() {
    let bound = (0..64_u32).into_par_iter().with_context(tagged("bound"));
    assert_eq!(bound.with_producer(Rest), ((50, Some(50)), 50));
}

/// rayon asks an adaptor how finely it may be split: `with_min_len` and `with_max_len` hold across the bound part.
#[test]
fn splits_are_no_finer_and_no_coarser_than_asked_for() {
    // With threads enough to split the work, whatever the machine has.
    let pool = ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let leaves = |min, max| -> Vec<usize> {
        let it = (0..1024).into_par_iter().with_min_len(min).with_max_len(max);
        // Behind `enumerate` the limits come from our producer.
        pool.install(|| it.in_current_context(|it| it.enumerate()).fold(|| 0, |len, _| len + 1).collect())
    };
    let coarse = leaves(64, usize::MAX);
    assert!(coarse.len() >= 4, "it was split: {coarse:?}");
    assert!(coarse.iter().all(|len| *len >= 64), "{coarse:?}");
    let fine = leaves(1, 4);
    assert!(fine.iter().all(|len| *len <= 4), "{fine:?}");
}

/// A consumer that is full once it has as many items as it wants.
struct Wants<'a>(&'a AtomicUsize);

impl Wants<'_> {
    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Consumer<u32> for Wants<'_> {
    type Folder = Self;
    type Reducer = Nothing;
    type Result = ();

    fn split_at(self, _: usize) -> (Self, Self, Nothing) {
        (Wants(self.0), self, Nothing)
    }

    fn into_folder(self) -> Self {
        self
    }

    fn full(&self) -> bool {
        self.is_full()
    }
}

impl UnindexedConsumer<u32> for Wants<'_> {
    fn split_off_left(&self) -> Self {
        Wants(self.0)
    }

    fn to_reducer(&self) -> Nothing {
        Nothing
    }
}

impl Folder<u32> for Wants<'_> {
    type Result = ();

    fn consume(self, _: u32) -> Self {
        assert_ne!(self.0.fetch_sub(1, Ordering::Relaxed), 0, "it was full");
        self
    }

    fn complete(self) {}

    fn full(&self) -> bool {
        self.is_full()
    }
}

struct Nothing;

impl Reducer<()> for Nothing {
    fn reduce(self, (): (), (): ()) {}
}

/// `find_any`, `try_for_each` and their kin stop early by it.
#[test]
fn a_full_consumer_gets_no_more_items() {
    // One thread, because another may be at an item when the consumer becomes full.
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for wanted in [0, 3] {
        let left = AtomicUsize::new(wanted);
        // `filter` asks our folder before each item, and rayon asks our consumer before each leaf.
        let numbers = (0..64).into_par_iter().filter(|_| true).with_context(tagged("bound"));
        pool.install(|| numbers.drive_unindexed(Wants(&left)));
        assert_eq!(left.load(Ordering::Relaxed), 0);
    }
}
