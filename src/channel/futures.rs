use std::future::poll_fn;

use futures_channel::{
    mpsc::{Sender, TrySendError, UnboundedSender},
    oneshot,
};
use opentelemetry::Context;

use super::{AsyncSendWithContext, AsyncSendWithCurrentContext, SendWithContext, TrySendWithContext};
use crate::{
    ContextExt, Snapshot, WithContext,
    hop::{Sealed, bind},
};

impl<M> Sealed for &mut Sender<M> {}

/// For [`futures::channel::mpsc::Sender`](Sender), by what `futures::SinkExt::send` does for it.
///
/// Like that, the future is ready once there is room for this sender's next message, too. Unlike that, its error gives the
/// message back, bound to its context, because nobody but its own crate can build this error around another value:
/// `error.into_inner().into_inner()`.
impl<T, S: Snapshot> AsyncSendWithContext<T, S> for &mut Sender<WithContext<T, S>> {
    type Error = TrySendError<WithContext<T, S>>;

    fn send_with_context(self, context: S, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        let message = bind("channel::send", value, context);
        async {
            // Where the channel is closed, `try_send` says so, and gives the message back.
            let _ready = poll_fn(|task| self.poll_ready(task)).await;
            self.try_send(message)?;
            // Where the channel is closed now, the message was sent all the same.
            let _flushed = poll_fn(|task| self.poll_ready(task)).await;
            Ok(())
        }
    }
}

/// For [`futures::channel::mpsc::Sender`](Sender), by what `futures::SinkExt::send` does for it.
impl<T> AsyncSendWithCurrentContext<T> for &mut Sender<WithContext<T>> {
    fn send_with_current_context(self, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        self.send_with_context(Context::capture(), value)
    }

    fn send_parent_only(self, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        self.send_with_context(Context::capture().parent_only(), value)
    }
}

/// For [`futures::channel::mpsc::Sender`](Sender), by its [`try_send`](Sender::try_send).
///
/// Nobody but its own crate can build this error around another value, so the value comes back bound to its context:
/// `error.into_inner().into_inner()`.
impl<M> TrySendWithContext for &mut Sender<M> {
    type Message = M;
    type Error<T> = TrySendError<M>;

    fn try_send_message<T>(self, message: M, _bare: impl FnOnce(M) -> T) -> Result<(), TrySendError<M>> {
        self.try_send(message)
    }
}

impl<M> Sealed for &UnboundedSender<M> {}

/// For [`futures::channel::mpsc::UnboundedSender`](UnboundedSender), by its [`unbounded_send`](UnboundedSender::unbounded_send).
///
/// Nobody but its own crate can build this error around another value, so the value comes back bound to its context:
/// `error.into_inner().into_inner()`.
impl<M> SendWithContext for &UnboundedSender<M> {
    type Message = M;
    type Output<T> = Result<(), TrySendError<M>>;

    fn send_message<T>(self, message: M, _bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.unbounded_send(message)
    }
}

impl<M> Sealed for oneshot::Sender<M> {}

/// For [`futures::channel::oneshot::Sender`](oneshot::Sender), by its [`send`](oneshot::Sender::send).
impl<M> SendWithContext for oneshot::Sender<M> {
    type Message = M;
    type Output<T> = Result<(), T>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Result<(), T> {
        self.send(message).map_err(bare)
    }
}
