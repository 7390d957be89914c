//! `WithContext` is a stream when its value is one.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use futures_core::{FusedStream, Stream};

use crate::{Snapshot, WithContext, propagate::NO_INNER};

#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
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

#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<T: FusedStream, S: Snapshot> FusedStream for WithContext<T, S> {
    fn is_terminated(&self) -> bool {
        self.inner().is_terminated()
    }
}

impl<T, S: Snapshot> WithContext<T, S> {
    /// Calls `f` with the pinned value, in the context as long as there is one.
    #[inline]
    pub(crate) fn inside_pinned<R>(self: Pin<&mut Self>, f: impl FnOnce(Pin<&mut T>) -> R) -> R {
        let this = self.project();
        let _guard = this.context.clone().map(S::attach);
        f(this.inner.as_pin_mut().expect(NO_INNER))
    }

    /// Lets the context go: the work is done.
    pub(crate) fn let_go(self: Pin<&mut Self>) {
        *self.project().context = None;
    }
}
