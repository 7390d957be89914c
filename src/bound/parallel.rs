//! `WithContext` is a parallel iterator when its value is one.
//!
//! rayon splits an iterator into leaves and runs each on one thread from its beginning to its end, so the context is
//! attached once a leaf. In consumer mode (`drive…`), the leaf is a folder, which lives from `into_folder` to `complete`
//! on one thread, and holds the guard. In producer mode (`with_producer`), the leaf is `fold_with`, or an iterator made
//! by `into_iter`, which holds the guard. See rayon's `iter/plumbing/README.md` for the two modes.

use ::rayon::iter::{
    IndexedParallelIterator, ParallelIterator,
    plumbing::{Consumer, Folder, Producer, ProducerCallback, Reducer, UnindexedConsumer},
};
use opentelemetry::Context;

use crate::{Propagate, Snapshot, WithContext, snapshot::OnHop, trail::Border};

/// `in_current_context`, on every parallel iterator.
pub trait ParallelIteratorExt: ParallelIterator {
    /// Runs a whole chain of adaptors, and what consumes it, in the context that is current now.
    ///
    /// Use it unless you know that [`with_current_context`](Propagate::with_current_context) is enough. That one is an
    /// adaptor:
    ///
    /// - at the head of a chain it covers the closures of most adaptors behind it, but not those behind `chunks` and
    ///   `fold_chunks`, on the far side of `chain`, or for the inner items of `flat_map` and `flatten`;
    /// - at the tail it covers what consumes the chain and what is before it, but not the outer closure of `flat_map`,
    ///   what makes the inner iterators of `flatten`, and the items that `skip` passes over.
    ///
    /// This method puts it at both ends, and no closure of the chain escapes.
    ///
    /// # Guarantees
    ///
    /// - In every closure exactly this context is current, also when it is empty, on whichever thread it runs.
    /// - It is attached a few times for each piece that rayon splits the work into, not for each item.
    /// - Lengths, order, splitting and results are those of the bare chain. A panic arrives as rayon delivers it, and
    ///   leaves the workers clean.
    /// - Items that rayon drops without processing them, after a `find_any` was successful or an item panicked, may be
    ///   dropped outside the context.
    /// - Three more things run outside the context: the closures that sources call to split themselves (of `split`,
    ///   `walk_tree`, `par_split` and `par_chunk_by`), which [`Snapshot::run`] can bind; the `clone` of the value that
    ///   `fold_chunks_with` starts with; and the hashing or sorting that the caller of `collect` does with the items.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::prelude::*;
    /// use opentelemetry::Context;
    /// use rayon::prelude::*;
    ///
    /// let _guard = Context::current_with_value(10).attach();
    /// let sum: i32 = (1..5)
    ///     .into_par_iter()
    ///     .in_current_context(|it| {
    ///         it.chunks(2).map(|chunk| chunk.iter().sum::<i32>() * Context::current().get::<i32>().unwrap())
    ///     })
    ///     .sum();
    /// assert_eq!(sum, 100);
    /// ```
    #[track_caller]
    fn in_current_context<F, I>(self, chain: F) -> WithContext<I>
    where
        F: FnOnce(WithContext<Self>) -> I,
        I: ParallelIterator,
    {
        self.in_context(Context::capture(), chain)
    }

    /// Runs a whole chain of adaptors, and what consumes it, in the given context or other [`Snapshot`].
    ///
    /// Like [`in_current_context`](Self::in_current_context).
    ///
    /// A chain that is bound already keeps its context: if two are bound one after the other, the inner one wins, and the
    /// outer one covers the rest. If two are bound side by side, in `zip` and `interleave`, the right one wins, on the left
    /// side too: bind such a chain as a whole.
    ///
    /// When a closure panics, or two bound iterators are zipped, rayon does not drop guards in the reverse order of their
    /// making. [`Context`] bears that. A [`Snapshot`] of your own has to bear it too, to leave the workers clean.
    #[track_caller]
    fn in_context<S, F, I>(self, context: S, chain: F) -> WithContext<I, S>
    where
        S: Snapshot + Send,
        F: FnOnce(WithContext<Self, S>) -> I,
        I: ParallelIterator,
    {
        let (iter, on_hop) = self.with_context(context).into_hop();
        let chain = chain(WithContext::<Self, S>::on_hop(iter, on_hop.clone()));
        WithContext::<Self, S>::on_hop(chain, on_hop)
    }
}

impl<I: ParallelIterator> ParallelIteratorExt for I {}

// In both modes the context is attached here for what the iterator owns, its closures for example: they are dropped on this thread, at
// the end.

impl<I: ParallelIterator, S: Snapshot + Send> ParallelIterator for WithContext<I, S> {
    type Item = I::Item;

    fn drive_unindexed<C: UnindexedConsumer<I::Item>>(self, consumer: C) -> C::Result {
        let (iter, on_hop) = self.into_hop();
        on_hop.run(|| iter.drive_unindexed(Bound { base: consumer, on_hop: on_hop.clone() }))
    }

    fn opt_len(&self) -> Option<usize> {
        self.inner().opt_len()
    }
}

impl<I: IndexedParallelIterator, S: Snapshot + Send> IndexedParallelIterator for WithContext<I, S> {
    fn len(&self) -> usize {
        self.inner().len()
    }

    fn drive<C: Consumer<I::Item>>(self, consumer: C) -> C::Result {
        let (iter, on_hop) = self.into_hop();
        on_hop.run(|| iter.drive(Bound { base: consumer, on_hop: on_hop.clone() }))
    }

    fn with_producer<CB: ProducerCallback<I::Item>>(self, callback: CB) -> CB::Output {
        let (iter, on_hop) = self.into_hop();
        on_hop.run(|| iter.with_producer(Bound { base: callback, on_hop: on_hop.clone() }))
    }
}

/// A part of the plumbing that hands the context on to the parts that it makes.
struct Bound<B, S> {
    base: B,
    on_hop: OnHop<S>,
}

impl<T, CB: ProducerCallback<T>, S: Snapshot + Send> ProducerCallback<T> for Bound<CB, S> {
    type Output = CB::Output;

    fn callback<P: Producer<Item = T>>(self, producer: P) -> CB::Output {
        self.base.callback(BoundProducer(WithContext::<P, S>::on_hop(producer, self.on_hop)))
    }
}

// ---- Producer mode ---------------------------------------------------------------------------------------------------

/// A `WithContext`, so that the items of a producer that is dropped unused are dropped inside.
struct BoundProducer<P, S: Snapshot>(WithContext<P, S>);

impl<P: Producer, S: Snapshot + Send> Producer for BoundProducer<P, S> {
    type Item = P::Item;
    type IntoIter = Attached<P::IntoIter, S::Guard>;

    fn into_iter(self) -> Self::IntoIter {
        let (base, context) = self.0.into_parts();
        let guard = context.attach();
        Attached { base: base.into_iter(), guard }
    }

    fn min_len(&self) -> usize {
        self.0.inner().min_len()
    }

    fn max_len(&self) -> usize {
        self.0.inner().max_len()
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let (base, on_hop) = self.0.into_hop();
        let (left, right) = on_hop.run(|| base.split_at(index));
        let bind = |base, on_hop| Self(WithContext::<P, S>::on_hop(base, on_hop));
        (bind(left, on_hop.clone()), bind(right, on_hop))
    }

    fn fold_with<F: Folder<P::Item>>(self, folder: F) -> F {
        self.0.run(|base| base.fold_with(folder))
    }
}

/// A leaf's iterator, with the context attached.
struct Attached<B, G> {
    // Dropped before the guard, and so inside the context.
    base: B,
    guard: G,
}

impl<I: Iterator, G> Iterator for Attached<I, G> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.base.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.base.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<I::Item> {
        self.base.nth(n)
    }

    fn fold<B, F: FnMut(B, I::Item) -> B>(self, init: B, f: F) -> B {
        let Self { base, guard: _guard } = self;
        base.fold(init, f)
    }
}

impl<I: DoubleEndedIterator, G> DoubleEndedIterator for Attached<I, G> {
    fn next_back(&mut self) -> Option<I::Item> {
        self.base.next_back()
    }

    fn nth_back(&mut self, n: usize) -> Option<I::Item> {
        self.base.nth_back(n)
    }

    fn rfold<B, F: FnMut(B, I::Item) -> B>(self, init: B, f: F) -> B {
        let Self { base, guard: _guard } = self;
        base.rfold(init, f)
    }
}

impl<I: ExactSizeIterator, G> ExactSizeIterator for Attached<I, G> {
    fn len(&self) -> usize {
        self.base.len()
    }
}

// ---- Consumer mode ---------------------------------------------------------------------------------------------------

impl<T, C: Consumer<T>, S: Snapshot + Send> Consumer<T> for Bound<C, S> {
    type Folder = BoundFolder<C::Folder, S::Guard>;
    type Reducer = Bound<C::Reducer, S>;
    type Result = C::Result;

    fn split_at(self, index: usize) -> (Self, Self, Self::Reducer) {
        let Self { base, on_hop } = self;
        // May clone what `map_with` and its like start with.
        let (left, right, reducer) = on_hop.run(|| base.split_at(index));
        let bind = |base| Self { base, on_hop: on_hop.clone() };
        (bind(left), bind(right), Bound { base: reducer, on_hop })
    }

    fn into_folder(self) -> Self::Folder {
        let border = self.on_hop.enter();
        let context = self.on_hop.snapshot();
        // First the guard: to make a folder may call a closure, of `fold` and `map_init` for example.
        let outer = context.clone().attach();
        let base = self.base.into_folder();
        BoundFolder { inner: context.clone().attach(), base, outer, border }
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<T, C: UnindexedConsumer<T>, S: Snapshot + Send> UnindexedConsumer<T> for Bound<C, S> {
    fn split_off_left(&self) -> Self {
        Bound { base: self.on_hop.run(|| self.base.split_off_left()), on_hop: self.on_hop.clone() }
    }

    fn to_reducer(&self) -> Self::Reducer {
        Bound { base: self.on_hop.run(|| self.base.to_reducer()), on_hop: self.on_hop.clone() }
    }
}

/// A leaf's folder, with the context attached twice: around the folders behind it, and above the contexts that those
/// may be bound to. So the inner of two contexts wins, as it does everywhere.
struct BoundFolder<F, G> {
    // In the order in which they have to be dropped, also when `base` has panicked: the outermost guard last.
    inner: G,
    base: F,
    outer: G,
    border: Border,
}

impl<T, F: Folder<T>, G> Folder<T> for BoundFolder<F, G> {
    type Result = F::Result;

    fn consume(mut self, item: T) -> Self {
        self.base = self.base.consume(item);
        self
    }

    fn consume_iter<I: IntoIterator<Item = T>>(mut self, iter: I) -> Self {
        self.base = self.base.consume_iter(iter);
        self
    }

    fn complete(self) -> F::Result {
        // Dropped in the reverse order.
        let Self { border: _border, outer: _outer, inner, base } = self;
        drop(inner);
        base.complete()
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<R, B: Reducer<R>, S: Snapshot> Reducer<R> for Bound<B, S> {
    fn reduce(self, left: R, right: R) -> R {
        let Self { base, on_hop } = self;
        on_hop.run_once(|| base.reduce(left, right))
    }
}
