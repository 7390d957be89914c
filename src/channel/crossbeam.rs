//! The methods that only [`crossbeam_channel`]'s sender has.

use std::time::{Duration, Instant};

use crossbeam_channel::{SendError, SendTimeoutError, Sender, TrySendError};
use opentelemetry::Context;

use super::{CarriesContext, SendWithContext, TrySendWithContext};
use crate::{
    Snapshot, WithContext,
    hop::{Sealed, bind},
};

impl<M> Sealed for &Sender<M> {}

/// For [`crossbeam_channel::Sender`], by its [`send`](Sender::send).
impl<M> SendWithContext for &Sender<M> {
    type Message = M;
    type Output<T> = Result<(), SendError<T>>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.send(message).map_err(|SendError(message)| SendError(bare(message)))
    }
}

/// For [`crossbeam_channel::Sender`], by its [`try_send`](Sender::try_send).
impl<M> TrySendWithContext for &Sender<M> {
    type Message = M;
    type Error<T> = TrySendError<T>;

    fn try_send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Result<(), TrySendError<T>> {
        self.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) => TrySendError::Full(bare(message)),
            TrySendError::Disconnected(message) => TrySendError::Disconnected(bare(message)),
        })
    }
}

/// Sends of [`crossbeam_channel::Sender`] that wait for some time.
///
/// # Errors
///
/// Each method returns the error of its original: the channel stayed full, or is closed. The value comes back in it.
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
pub trait SenderExt: Sealed {
    /// What the channel's messages are.
    type Message;

    /// [`Sender::send_timeout`]; `bare` takes the value out of a message that comes back.
    #[doc(hidden)]
    fn send_message_timeout<T>(
        &self,
        message: Self::Message,
        timeout: Duration,
        bare: impl FnOnce(Self::Message) -> T,
    ) -> Result<(), SendTimeoutError<T>>;

    /// [`Sender::send_deadline`]; `bare` takes the value out of a message that comes back.
    #[doc(hidden)]
    fn send_message_deadline<T>(
        &self,
        message: Self::Message,
        deadline: Instant,
        bare: impl FnOnce(Self::Message) -> T,
    ) -> Result<(), SendTimeoutError<T>>;

    /// [`Sender::send_timeout`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn send_timeout_with_context<S: Snapshot, T>(
        &self,
        context: S,
        value: T,
        timeout: Duration,
    ) -> Result<(), SendTimeoutError<T>>
    where
        Self::Message: CarriesContext,
        Self: SenderExt<Message = WithContext<T, S>>,
    {
        self.send_message_timeout(bind("channel::send_timeout", value, context), timeout, WithContext::into_inner)
    }

    /// [`Sender::send_deadline`], with the given context or other [`Snapshot`].
    #[track_caller]
    fn send_deadline_with_context<S: Snapshot, T>(
        &self,
        context: S,
        value: T,
        deadline: Instant,
    ) -> Result<(), SendTimeoutError<T>>
    where
        Self::Message: CarriesContext,
        Self: SenderExt<Message = WithContext<T, S>>,
    {
        self.send_message_deadline(bind("channel::send_deadline", value, context), deadline, WithContext::into_inner)
    }

    /// [`Sender::send_timeout`], with the context that is current now.
    #[track_caller]
    fn send_timeout_with_current_context<T>(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>>
    where
        Self::Message: CarriesContext,
        Self: SenderExt<Message = WithContext<T>>,
    {
        self.send_timeout_with_context(Context::capture(), value, timeout)
    }

    /// [`Sender::send_deadline`], with the context that is current now.
    #[track_caller]
    fn send_deadline_with_current_context<T>(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>>
    where
        Self::Message: CarriesContext,
        Self: SenderExt<Message = WithContext<T>>,
    {
        self.send_deadline_with_context(Context::capture(), value, deadline)
    }
}

impl<M> Sealed for Sender<M> {}

impl<M> SenderExt for Sender<M> {
    type Message = M;

    fn send_message_timeout<T>(
        &self,
        message: M,
        timeout: Duration,
        bare: impl FnOnce(M) -> T,
    ) -> Result<(), SendTimeoutError<T>> {
        self.send_timeout(message, timeout).map_err(|error| map(error, bare))
    }

    fn send_message_deadline<T>(
        &self,
        message: M,
        deadline: Instant,
        bare: impl FnOnce(M) -> T,
    ) -> Result<(), SendTimeoutError<T>> {
        self.send_deadline(message, deadline).map_err(|error| map(error, bare))
    }
}

fn map<M, T>(error: SendTimeoutError<M>, bare: impl FnOnce(M) -> T) -> SendTimeoutError<T> {
    match error {
        SendTimeoutError::Timeout(message) => SendTimeoutError::Timeout(bare(message)),
        SendTimeoutError::Disconnected(message) => SendTimeoutError::Disconnected(bare(message)),
    }
}
