//! `WithContext` is an iterator when its value is one.
//!
//! Only what the wrapped iterator does runs inside its context. `fold` and its kin are left to call `next`, because the
//! closures that they take are the caller's, and see the caller's context as a `for` loop's body does.

use std::iter::FusedIterator;

use crate::{Snapshot, WithContext};

impl<T: Iterator, S: Snapshot> Iterator for WithContext<T, S> {
    type Item = T::Item;

    fn next(&mut self) -> Option<T::Item> {
        self.run_mut(T::next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner().size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<T::Item> {
        self.run_mut(|iter| iter.nth(n))
    }
}

impl<T: DoubleEndedIterator, S: Snapshot> DoubleEndedIterator for WithContext<T, S> {
    fn next_back(&mut self) -> Option<T::Item> {
        self.run_mut(T::next_back)
    }

    fn nth_back(&mut self, n: usize) -> Option<T::Item> {
        self.run_mut(|iter| iter.nth_back(n))
    }
}

impl<T: ExactSizeIterator, S: Snapshot> ExactSizeIterator for WithContext<T, S> {
    fn len(&self) -> usize {
        self.inner().len()
    }
}

impl<T: FusedIterator, S: Snapshot> FusedIterator for WithContext<T, S> {}

impl<T: IntoIterator, S: Snapshot> WithContext<T, S> {
    /// Takes a batch apart: each item becomes a message of its own, in the batch's context.
    ///
    /// Use it where the receiver of batches does its work item by item, or hands the items on:
    /// `rx.into_iter().flat_map(WithContext::into_items)`.
    ///
    /// # Guarantees
    ///
    /// The iterator works in the context. Items that nobody takes are dropped in it, too. The context is let go with the
    /// iterator and the last item.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{WithContext, prelude::*};
    /// use opentelemetry::Context;
    ///
    /// let (tx, rx) = std::sync::mpsc::channel();
    /// for (sender, batch) in [("a", vec![1, 2]), ("b", vec![3])] {
    ///     tx.send_with_context(Context::new().with_value(sender), batch).unwrap();
    /// }
    /// drop(tx);
    ///
    /// let items = rx.into_iter().flat_map(WithContext::into_items);
    /// let seen: Vec<_> = items.map(|item| item.run(|n| (n, *Context::current().get::<&str>().unwrap()))).collect();
    /// assert_eq!(seen, [(1, "a"), (2, "a"), (3, "b")]);
    /// ```
    #[track_caller]
    pub fn into_items(self) -> impl Iterator<Item = WithContext<T::Item, S>> {
        let (items, on_hop) = self.map_inner(T::into_iter).into_hop();
        Self::on_hop(items, on_hop.clone()).map(move |item| Self::on_hop(item, on_hop.clone()))
    }
}
