//! What only [`tokio::sync::mpsc`]'s bounded sender has.

use std::time::Duration;

use ::tokio::sync::{
    broadcast,
    mpsc::{
        OwnedPermit, Permit, Sender, UnboundedSender,
        error::{SendError, SendTimeoutError, TrySendError},
    },
    oneshot, watch,
};

use super::{SendWithContext, TrySendWithContext};
use crate::{Propagate, WithContext};

/// Sends of [`tokio::sync::mpsc::Sender`] that wait for room.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// # #[tokio::main] async fn main() {
/// let (tx, mut rx) = tokio::sync::mpsc::channel(1);
/// let send = {
///     let _guard = Context::current_with_value("request 7").attach();
///     tx.send_with_current_context("hello")
/// };
/// send.await.unwrap();
///
/// let message = rx.recv().await.unwrap();
/// assert_eq!(message.run(|_hello| Context::current().get::<&str>().copied()), Some("request 7"));
///
/// drop(rx);
/// assert_eq!(tx.send_with_current_context("hello again").await.unwrap_err().0, "hello again");
/// # }
/// ```
pub trait SenderExt<T> {
    /// [`Sender::send`], with the context that is current at this call.
    ///
    /// # Errors
    ///
    /// As the original: the channel is closed. The value comes back in the error.
    ///
    /// # Cancel safety
    ///
    /// As the original: if the future is dropped before it is ready, the message was not sent, and is dropped inside
    /// its context. To keep it, [`reserve`](Sender::reserve) first and send with the permit.
    fn send_with_current_context(&self, value: T) -> impl Future<Output = Result<(), SendError<T>>>;

    /// [`Sender::send_timeout`], with the context that is current at this call.
    ///
    /// # Errors
    ///
    /// As the original: the channel stayed full, or is closed. The value comes back in the error.
    ///
    /// # Panics
    ///
    /// As the original: when polled outside a runtime with a timer.
    ///
    /// # Cancel safety
    ///
    /// As the original: if the future is dropped before it is ready, the message was not sent, and is dropped inside
    /// its context.
    fn send_timeout_with_current_context(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>>;

    /// [`Sender::blocking_send`], with the context that is current now.
    ///
    /// # Errors
    ///
    /// As the original: the channel is closed. The value comes back in the error.
    ///
    /// # Panics
    ///
    /// As the original: within an asynchronous context.
    fn blocking_send_with_current_context(&self, value: T) -> Result<(), SendError<T>>;
}

impl<T> SenderExt<T> for Sender<WithContext<T>> {
    fn send_with_current_context(&self, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        let message = value.with_current_context();
        async { self.send(message).await.map_err(bare) }
    }

    fn send_timeout_with_current_context(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>> {
        let message = value.with_current_context();
        async move {
            self.send_timeout(message, timeout).await.map_err(|error| match error {
                SendTimeoutError::Timeout(message) => SendTimeoutError::Timeout(message.into_inner()),
                SendTimeoutError::Closed(message) => SendTimeoutError::Closed(message.into_inner()),
            })
        }
    }

    #[track_caller]
    fn blocking_send_with_current_context(&self, value: T) -> Result<(), SendError<T>> {
        self.blocking_send(value.with_current_context()).map_err(bare)
    }
}

impl<T> TrySendWithContext<T> for &Sender<WithContext<T>> {
    type Error = TrySendError<T>;

    fn try_send_with_current_context(self, value: T) -> Result<(), TrySendError<T>> {
        self.try_send(value.with_current_context()).map_err(|error| match error {
            TrySendError::Full(message) => TrySendError::Full(message.into_inner()),
            TrySendError::Closed(message) => TrySendError::Closed(message.into_inner()),
        })
    }
}

impl<T> SendWithContext<T> for &UnboundedSender<WithContext<T>> {
    type Output = Result<(), SendError<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context()).map_err(bare)
    }
}

impl<T> SendWithContext<T> for Permit<'_, WithContext<T>> {
    type Output = ();

    fn send_with_current_context(self, value: T) {
        self.send(value.with_current_context());
    }
}

impl<T> SendWithContext<T> for OwnedPermit<WithContext<T>> {
    type Output = Sender<WithContext<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context())
    }
}

impl<T> SendWithContext<T> for oneshot::Sender<WithContext<T>> {
    type Output = Result<(), T>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context()).map_err(WithContext::into_inner)
    }
}

impl<T> SendWithContext<T> for &broadcast::Sender<WithContext<T>> {
    type Output = Result<usize, broadcast::error::SendError<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context())
            .map_err(|broadcast::error::SendError(message)| broadcast::error::SendError(message.into_inner()))
    }
}

impl<T> SendWithContext<T> for &watch::Sender<WithContext<T>> {
    type Output = Result<(), watch::error::SendError<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context())
            .map_err(|watch::error::SendError(message)| watch::error::SendError(message.into_inner()))
    }
}

fn bare<T>(SendError(message): SendError<WithContext<T>>) -> SendError<T> {
    SendError(message.into_inner())
}
