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
        let this = self.project();
        let (mut inner, context) = (this.inner, this.context);
        let poll = context.as_ref().expect("`WithContext` polled after completion").run(move || {
            let poll = inner.as_mut().as_pin_mut().expect("there as long as the context").poll(task);
            if poll.is_ready() {
                // A future that is ready may still hold unfinished work (`Timeout`, `Select`, `Abortable`), and that is
                // to be dropped inside too.
                inner.set(None);
            }
            poll
        });
        if poll.is_ready() {
            *context = None;
        }
        poll
    }
}

#[cfg(feature = "futures")]
impl<F: futures_core::FusedFuture, S: Snapshot> futures_core::FusedFuture for WithContext<F, S> {
    fn is_terminated(&self) -> bool {
        self.inner.as_ref().is_none_or(F::is_terminated)
    }
}
