//! `WithContext` is a sink when its value is one.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use futures_sink::Sink;

use crate::{Snapshot, WithContext};

#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<T: Sink<Item>, Item, S: Snapshot> Sink<Item> for WithContext<T, S> {
    type Error = T::Error;

    fn poll_ready(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), T::Error>> {
        self.run_pin_mut(|sink| sink.poll_ready(task))
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> Result<(), T::Error> {
        self.run_pin_mut(|sink| sink.start_send(item))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), T::Error>> {
        self.run_pin_mut(|sink| sink.poll_flush(task))
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Result<(), T::Error>> {
        self.run_pin_mut(|sink| sink.poll_close(task))
    }
}
