use ::std::sync::mpsc::{SendError, Sender, SyncSender, TrySendError};

use super::{SendWithContext, TrySendWithContext};
use crate::{Propagate, WithContext};

impl<T> SendWithContext<T> for &Sender<WithContext<T>> {
    type Output = Result<(), SendError<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context()).map_err(|SendError(message)| SendError(message.into_inner()))
    }
}

impl<T> SendWithContext<T> for &SyncSender<WithContext<T>> {
    type Output = Result<(), SendError<T>>;

    fn send_with_current_context(self, value: T) -> Self::Output {
        self.send(value.with_current_context()).map_err(|SendError(message)| SendError(message.into_inner()))
    }
}

impl<T> TrySendWithContext<T> for &SyncSender<WithContext<T>> {
    type Error = TrySendError<T>;

    fn try_send_with_current_context(self, value: T) -> Result<(), TrySendError<T>> {
        self.try_send(value.with_current_context()).map_err(|error| match error {
            TrySendError::Full(message) => TrySendError::Full(message.into_inner()),
            TrySendError::Disconnected(message) => TrySendError::Disconnected(message.into_inner()),
        })
    }
}
