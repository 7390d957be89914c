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
