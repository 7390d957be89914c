use ::std::sync::mpsc::{SendError, Sender, SyncSender, TrySendError};

use super::{SendWithContext, TrySendWithContext};
use crate::hop::Sealed;

impl<M> Sealed for &Sender<M> {}

/// For [`std::sync::mpsc::Sender`], by its [`send`](Sender::send).
impl<M> SendWithContext for &Sender<M> {
    type Message = M;
    type Output<T> = Result<(), SendError<T>>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.send(message).map_err(|SendError(message)| SendError(bare(message)))
    }
}

impl<M> Sealed for &SyncSender<M> {}

/// For [`std::sync::mpsc::SyncSender`], by its [`send`](SyncSender::send).
impl<M> SendWithContext for &SyncSender<M> {
    type Message = M;
    type Output<T> = Result<(), SendError<T>>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.send(message).map_err(|SendError(message)| SendError(bare(message)))
    }
}

/// For [`std::sync::mpsc::SyncSender`], by its [`try_send`](SyncSender::try_send).
impl<M> TrySendWithContext for &SyncSender<M> {
    type Message = M;
    type Error<T> = TrySendError<T>;

    fn try_send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Result<(), TrySendError<T>> {
        self.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) => TrySendError::Full(bare(message)),
            TrySendError::Disconnected(message) => TrySendError::Disconnected(bare(message)),
        })
    }
}
