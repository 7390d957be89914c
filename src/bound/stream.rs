//! `WithContext` is a stream when its value is one.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use futures_core::{FusedStream, Stream};

use crate::{Snapshot, WithContext};

#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<T: Stream, S: Snapshot> Stream for WithContext<T, S> {
    type Item = T::Item;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<T::Item>> {
        self.run_pin_mut(|stream| stream.poll_next(task))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner().size_hint()
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<T: FusedStream, S: Snapshot> FusedStream for WithContext<T, S> {
    fn is_terminated(&self) -> bool {
        self.inner().is_terminated()
    }
}
