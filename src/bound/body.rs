//! `WithContext` is an HTTP body when its value is one.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use http_body::{Body, Frame, SizeHint};

use crate::{Snapshot, WithContext};

#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
impl<B: Body, S: Snapshot> Body for WithContext<B, S> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.run_pin_mut(|body| body.poll_frame(task))
    }

    fn is_end_stream(&self) -> bool {
        self.inner().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner().size_hint()
    }
}
