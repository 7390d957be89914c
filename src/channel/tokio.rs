//! The methods that only [`tokio::sync`]'s senders have.

use std::time::Duration;

use ::tokio::sync::{
    broadcast,
    mpsc::{
        OwnedPermit, Permit, Sender, UnboundedSender,
        error::{SendError, SendTimeoutError, TrySendError},
    },
    oneshot, watch,
};
use opentelemetry::Context;

use super::{AsyncSendWithContext, AsyncSendWithCurrentContext, CarriesContext, SendWithContext, TrySendWithContext};
use crate::{
    ContextExt, Snapshot, WithContext,
    hop::{Sealed, bind},
    snapshot::OnHop,
};

impl<M> Sealed for &Sender<M> {}

/// For [`tokio::sync::mpsc::Sender`], by its [`send`](Sender::send).
impl<T, S: Snapshot> AsyncSendWithContext<T, S> for &Sender<WithContext<T, S>> {
    type Error = SendError<T>;

    fn send_with_context(self, context: S, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        let message = bind("channel::send", value, context);
        async { self.send(message).await.map_err(|SendError(message)| SendError(message.into_inner())) }
    }
}

/// For [`tokio::sync::mpsc::Sender`], by its [`send`](Sender::send).
impl<T> AsyncSendWithCurrentContext<T> for &Sender<WithContext<T>> {
    fn send_with_current_context(self, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        self.send_with_context(Context::capture(), value)
    }

    fn send_parent_only(self, value: T) -> impl Future<Output = Result<(), SendError<T>>> {
        self.send_with_context(Context::capture().parent_only(), value)
    }
}

/// For [`tokio::sync::mpsc::Sender`], by its [`try_send`](Sender::try_send).
impl<M> TrySendWithContext for &Sender<M> {
    type Message = M;
    type Error<T> = TrySendError<T>;

    fn try_send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Result<(), TrySendError<T>> {
        self.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) => TrySendError::Full(bare(message)),
            TrySendError::Closed(message) => TrySendError::Closed(bare(message)),
        })
    }
}

impl<M> Sealed for &UnboundedSender<M> {}

/// For [`tokio::sync::mpsc::UnboundedSender`], by its [`send`](UnboundedSender::send).
impl<M> SendWithContext for &UnboundedSender<M> {
    type Message = M;
    type Output<T> = Result<(), SendError<T>>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.send(message).map_err(|SendError(message)| SendError(bare(message)))
    }
}

impl<M> Sealed for Permit<'_, M> {}

/// For [`tokio::sync::mpsc::Permit`], by its [`send`](Permit::send), which cannot fail.
impl<M> SendWithContext for Permit<'_, M> {
    type Message = M;
    type Output<T> = ();

    fn send_message<T>(self, message: M, _bare: impl FnOnce(M) -> T) {
        self.send(message);
    }
}

impl<M> Sealed for OwnedPermit<M> {}

/// For [`tokio::sync::mpsc::OwnedPermit`], by its [`send`](OwnedPermit::send), which gives the sender back.
impl<M> SendWithContext for OwnedPermit<M> {
    type Message = M;
    type Output<T> = Sender<M>;

    fn send_message<T>(self, message: M, _bare: impl FnOnce(M) -> T) -> Sender<M> {
        self.send(message)
    }
}

impl<M> Sealed for oneshot::Sender<M> {}

/// For [`tokio::sync::oneshot::Sender`], by its [`send`](oneshot::Sender::send).
impl<M> SendWithContext for oneshot::Sender<M> {
    type Message = M;
    type Output<T> = Result<(), T>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Result<(), T> {
        self.send(message).map_err(bare)
    }
}

impl<M> Sealed for &broadcast::Sender<M> {}

/// For [`tokio::sync::broadcast::Sender`], by its [`send`](broadcast::Sender::send).
///
/// The channel keeps each message, and so a span that it holds open, until all receivers have it or it is overwritten.
impl<M> SendWithContext for &broadcast::Sender<M> {
    type Message = M;
    type Output<T> = Result<usize, broadcast::error::SendError<T>>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.send(message).map_err(|broadcast::error::SendError(message)| broadcast::error::SendError(bare(message)))
    }
}

impl<M> Sealed for &watch::Sender<M> {}

/// For [`tokio::sync::watch::Sender`], by its [`send`](watch::Sender::send). For its other sends, see [`WatchSenderExt`].
///
/// The channel keeps the last message, and so a span that it holds open, until the next one.
impl<M> SendWithContext for &watch::Sender<M> {
    type Message = M;
    type Output<T> = Result<(), watch::error::SendError<T>>;

    fn send_message<T>(self, message: M, bare: impl FnOnce(M) -> T) -> Self::Output<T> {
        self.send(message).map_err(|watch::error::SendError(message)| watch::error::SendError(bare(message)))
    }
}

/// Sends of [`tokio::sync::mpsc::Sender`] that wait for some time, or block.
pub trait SenderExt<T, S: Snapshot>: Sealed {
    /// [`Sender::send_timeout`], with the given context or other [`Snapshot`].
    ///
    /// # Errors
    ///
    /// Those of the original: the channel stayed full, or is closed. The value comes back in the error.
    ///
    /// # Panics
    ///
    /// When polled outside a runtime with a timer, as the original does.
    ///
    /// # Cancel safety
    ///
    /// That of the original: if the future is dropped before it is ready, the message was not sent, and is dropped inside
    /// its context.
    #[track_caller]
    fn send_timeout_with_context(
        &self,
        context: S,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>>;

    /// [`Sender::blocking_send`], with the given context or other [`Snapshot`].
    ///
    /// # Errors
    ///
    /// Those of the original: the channel is closed. The value comes back in the error.
    ///
    /// # Panics
    ///
    /// Within an asynchronous context, as the original does.
    #[track_caller]
    fn blocking_send_with_context(&self, context: S, value: T) -> Result<(), SendError<T>>;
}

impl<M> Sealed for Sender<M> {}

impl<T, S: Snapshot> SenderExt<T, S> for Sender<WithContext<T, S>> {
    fn send_timeout_with_context(
        &self,
        context: S,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>> {
        let message = bind("channel::send_timeout", value, context);
        async move {
            self.send_timeout(message, timeout).await.map_err(|error| match error {
                SendTimeoutError::Timeout(message) => SendTimeoutError::Timeout(message.into_inner()),
                SendTimeoutError::Closed(message) => SendTimeoutError::Closed(message.into_inner()),
            })
        }
    }

    fn blocking_send_with_context(&self, context: S, value: T) -> Result<(), SendError<T>> {
        let message = bind("channel::blocking_send", value, context);
        self.blocking_send(message).map_err(|SendError(message)| SendError(message.into_inner()))
    }
}

/// [`SenderExt`], with the current context.
pub trait CurrentSenderExt<T>: SenderExt<T, Context> {
    /// [`Sender::send_timeout`], with the context that is current at this call.
    ///
    /// Like [`send_timeout_with_context`](SenderExt::send_timeout_with_context).
    #[track_caller]
    fn send_timeout_with_current_context(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>>;

    /// [`Sender::blocking_send`], with the context that is current now.
    ///
    /// Like [`blocking_send_with_context`](SenderExt::blocking_send_with_context).
    #[track_caller]
    fn blocking_send_with_current_context(&self, value: T) -> Result<(), SendError<T>> {
        self.blocking_send_with_context(Context::capture(), value)
    }
}

impl<T> CurrentSenderExt<T> for Sender<WithContext<T>> {
    fn send_timeout_with_current_context(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>> {
        self.send_timeout_with_context(Context::capture(), value, timeout)
    }
}

/// What [`tokio::sync::watch::Sender`] can do to its value, with a context for what comes of it.
///
/// The channel keeps its value until the next one, and the value its context. So where a span is current, prefer the
/// `_parent_only` methods, which keep none open.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
/// use tokio::sync::watch;
///
/// let (tx, rx) = watch::channel(1.detached());
/// let seen = || rx.borrow().run_ref(|n| (*n, Context::current().get::<&str>().copied()));
///
/// let previous = tx.send_replace_with_context(Context::new().with_value("first"), 2);
/// assert_eq!((previous.into_inner(), seen()), (1, (2, Some("first"))));
///
/// tx.send_modify_with_context(Context::new().with_value("second"), |n| *n += 1);
/// assert_eq!(seen(), (3, Some("second")));
///
/// // What is not modified keeps its context, too.
/// assert!(!tx.send_if_modified_with_context(Context::new().with_value("third"), |_| false));
/// assert_eq!(seen(), (3, Some("second")));
/// ```
pub trait WatchSenderExt: Sealed {
    /// What the channel's messages are.
    type Message;

    /// [`watch::Sender::send_replace`].
    #[doc(hidden)]
    fn replace_message(&self, message: Self::Message) -> Self::Message;

    /// [`watch::Sender::send_if_modified`].
    #[doc(hidden)]
    fn modify_message(&self, modify: impl FnOnce(&mut Self::Message) -> bool) -> bool;

    /// [`watch::Sender::send_replace`], with the given context or other [`Snapshot`]. The old value comes back, bound to the
    /// context that it was sent with. Drop it where you do not need it: a [`WithContext`] that is ignored is a warning.
    #[track_caller]
    fn send_replace_with_context<S: Snapshot, T>(&self, context: S, value: T) -> WithContext<T, S>
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T, S>>,
    {
        self.replace_message(bind("channel::send_replace", value, context))
    }

    /// [`watch::Sender::send_replace`], with the context that is current now.
    #[track_caller]
    fn send_replace_with_current_context<T>(&self, value: T) -> WithContext<T>
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T>>,
    {
        self.send_replace_with_context(Context::capture(), value)
    }

    /// [`watch::Sender::send_replace`], with the [`parent_only`](ContextExt::parent_only) part of the context that is
    /// current now.
    #[track_caller]
    fn send_replace_parent_only<T>(&self, value: T) -> WithContext<T>
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T>>,
    {
        self.send_replace_with_context(Context::capture().parent_only(), value)
    }

    /// [`watch::Sender::send_modify`], with the given context or other [`Snapshot`] for the modified value. `modify` runs in
    /// the caller's context.
    ///
    /// # Panics
    ///
    /// With the closure's own panic, as the original does. The value then keeps the context that it had.
    #[track_caller]
    fn send_modify_with_context<S: Snapshot, T>(&self, context: S, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T, S>>,
    {
        self.send_if_modified_with_context(context, |value| {
            modify(value);
            true
        });
    }

    /// [`watch::Sender::send_modify`], with the context that is current now for the modified value.
    ///
    /// Like [`send_modify_with_context`](Self::send_modify_with_context).
    #[track_caller]
    fn send_modify_with_current_context<T>(&self, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T>>,
    {
        self.send_modify_with_context(Context::capture(), modify);
    }

    /// [`watch::Sender::send_modify`], with the [`parent_only`](ContextExt::parent_only) part of the context that is current
    /// now for the modified value.
    ///
    /// Like [`send_modify_with_context`](Self::send_modify_with_context).
    #[track_caller]
    fn send_modify_parent_only<T>(&self, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T>>,
    {
        self.send_modify_with_context(Context::capture().parent_only(), modify);
    }

    /// [`watch::Sender::send_if_modified`], with the given context or other [`Snapshot`] for the value if `modify` returns
    /// `true`. `modify` runs in the caller's context.
    ///
    /// # Panics
    ///
    /// With the closure's own panic, as the original does. The value then keeps the context that it had.
    #[track_caller]
    fn send_if_modified_with_context<S: Snapshot, T>(&self, context: S, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T, S>>,
    {
        // Dropped after the channel's lock: to drop a context may end a span, and whoever is told may look at the channel.
        let (mut on_hop, mut previous) = (Some(OnHop::new("channel::send_modify", context)), None);
        self.modify_message(|message| {
            let modified = modify(message.inner_mut());
            if modified {
                previous = on_hop.take().and_then(|on_hop| message.replace_hop(on_hop));
            }
            modified
        })
    }

    /// [`watch::Sender::send_if_modified`], with the context that is current now for the value if `modify` returns `true`.
    ///
    /// Like [`send_if_modified_with_context`](Self::send_if_modified_with_context).
    #[track_caller]
    fn send_if_modified_with_current_context<T>(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T>>,
    {
        self.send_if_modified_with_context(Context::capture(), modify)
    }

    /// [`watch::Sender::send_if_modified`], with the [`parent_only`](ContextExt::parent_only) part of the context that is
    /// current now for the value if `modify` returns `true`.
    ///
    /// Like [`send_if_modified_with_context`](Self::send_if_modified_with_context).
    #[track_caller]
    fn send_if_modified_parent_only<T>(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        Self::Message: CarriesContext,
        Self: WatchSenderExt<Message = WithContext<T>>,
    {
        self.send_if_modified_with_context(Context::capture().parent_only(), modify)
    }
}

impl<M> Sealed for watch::Sender<M> {}

impl<M> WatchSenderExt for watch::Sender<M> {
    type Message = M;

    fn replace_message(&self, message: M) -> M {
        self.send_replace(message)
    }

    fn modify_message(&self, modify: impl FnOnce(&mut M) -> bool) -> bool {
        self.send_if_modified(modify)
    }
}
