//! `WithContext` is a stream when its value is one.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use futures_core::{FusedStream, Stream};

use crate::{Snapshot, WithContext};

impl<T: Stream, S: Snapshot> Stream for WithContext<T, S> {
    type Item = T::Item;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<T::Item>> {
        let poll = self.as_mut().inside_pinned(|stream| stream.poll_next(task));
        if let Poll::Ready(None) = poll {
            self.let_go();
        }
        poll
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner().size_hint()
    }
}

impl<T: FusedStream, S: Snapshot> FusedStream for WithContext<T, S> {
    fn is_terminated(&self) -> bool {
        self.inner().is_terminated()
    }
}
