//! `WithContext` is a future when its value is one.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use crate::{Snapshot, WithContext};

impl<F: Future, S: Snapshot> Future for WithContext<F, S> {
    type Output = F::Output;

    /// # Panics
    ///
    /// With the inner future's own panic; and when polled again after it was ready.
    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        self.project().carried.poll(task)
    }
}

#[cfg(feature = "futures")]
#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<F: futures_core::FusedFuture, S: Snapshot> futures_core::FusedFuture for WithContext<F, S> {
    fn is_terminated(&self) -> bool {
        self.carried.value().is_none_or(F::is_terminated)
    }
}
