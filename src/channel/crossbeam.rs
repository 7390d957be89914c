//! What only [`crossbeam_channel`]'s sender has.

use std::time::{Duration, Instant};

use crossbeam_channel::{SendError, SendTimeoutError, Sender, TrySendError};

use super::{SendWithContext, TrySendWithContext};
use crate::{Propagate, WithContext};

impl<T> SendWithContext<T> for &Sender<WithContext<T>> {
    type Output = Result<(), SendError<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context()).map_err(|SendError(message)| SendError(message.into_inner()))
    }
}

impl<T> TrySendWithContext<T> for &Sender<WithContext<T>> {
    type Error = TrySendError<T>;

    fn try_send_with_current_context(self, value: T) -> Result<(), TrySendError<T>> {
        self.try_send(value.with_current_context()).map_err(|error| match error {
            TrySendError::Full(message) => TrySendError::Full(message.into_inner()),
            TrySendError::Disconnected(message) => TrySendError::Disconnected(message.into_inner()),
        })
    }
}

/// Sends of [`crossbeam_channel::Sender`] that wait for some time.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use crossbeam_channel::SendTimeoutError;
/// use std::time::Duration;
///
/// let (tx, _rx) = crossbeam_channel::bounded(1);
/// assert_eq!(tx.send_timeout_with_current_context(1, Duration::ZERO), Ok(()));
/// assert_eq!(tx.send_timeout_with_current_context(2, Duration::ZERO), Err(SendTimeoutError::Timeout(2)));
/// ```
pub trait SenderExt<T> {
    /// [`Sender::send_timeout`], with the context that is current now.
    ///
    /// # Errors
    ///
    /// As the original: the channel stayed full, or is closed. The value comes back in the error.
    fn send_timeout_with_current_context(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>>;

    /// [`Sender::send_deadline`], with the context that is current now.
    ///
    /// # Errors
    ///
    /// As the original: the channel stayed full, or is closed. The value comes back in the error.
    fn send_deadline_with_current_context(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>>;
}

impl<T> SenderExt<T> for Sender<WithContext<T>> {
    fn send_timeout_with_current_context(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_timeout(value.with_current_context(), timeout).map_err(bare)
    }

    fn send_deadline_with_current_context(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_deadline(value.with_current_context(), deadline).map_err(bare)
    }
}

fn bare<T>(error: SendTimeoutError<WithContext<T>>) -> SendTimeoutError<T> {
    match error {
        SendTimeoutError::Timeout(message) => SendTimeoutError::Timeout(message.into_inner()),
        SendTimeoutError::Disconnected(message) => SendTimeoutError::Disconnected(message.into_inner()),
    }
}
