//! Messages that carry a context over native channels.
//!
//! `send_with_current_context` carries the whole context, and so **the sender's span stays open until the message is
//! received and its work is done**, or until the channel drops it. That is what log lines and attributes of the work need.
//! Where a message waits long, or forever, `send_parent_only` is the better call: the work belongs to the same trace and
//! has the same parent, but the sender's span ends when the sender is done. Prefer it for `watch`, which keeps its last
//! value; for `broadcast`, which keeps what an idle receiver has not fetched; and for a queue that is mostly full.
//!
//! A channel of `T` becomes a channel of [`WithContext<T>`](crate::WithContext). It stays the native one, so `select!`,
//! `try_iter`, `recv_many` and all the rest work as before.
//!
//! ```
//! use ctxhop::prelude::*;
//! use opentelemetry::Context;
//!
//! let (tx, rx) = crossbeam_channel::bounded(8);
//! {
//!     let _guard = Context::current_with_value("request 7").attach();
//!     tx.send_with_current_context("hello").unwrap();
//! }
//!
//! let message = rx.recv().unwrap();
//! assert_eq!(message.run(|_hello| Context::current().get::<&str>().copied()), Some("request 7"));
//! ```
//!
//! Each method has three forms: `_with_current_context`, `_with_context`, which takes the context (or another
//! [`Snapshot`]) first, and, where there is a fourth column, `_parent_only`. [`ctxhop::tracing`](crate::tracing) adds
//! `_with_current_span`.
//!
//! | sender | methods | | parent only |
//! |---|---|---|---|
//! | `std::sync::mpsc::Sender` | `send` | [`SendWithContext`] | yes |
//! | `std::sync::mpsc::SyncSender` | `send`, `try_send` | [`SendWithContext`], [`TrySendWithContext`] | yes |
//! | `crossbeam_channel::Sender` | `send`, `try_send` | [`SendWithContext`], [`TrySendWithContext`] | yes |
//! | | `send_timeout`, `send_deadline` | [`crossbeam::SenderExt`] | |
//! | `tokio::sync::mpsc::Sender` | `send` (async), `try_send` | [`AsyncSendWithContext`], [`TrySendWithContext`] | yes |
//! | | `send_timeout` (async), `blocking_send` | [`tokio::SenderExt`] | |
//! | `tokio::sync::mpsc::{UnboundedSender, Permit, OwnedPermit}` | `send` | [`SendWithContext`] | yes |
//! | `tokio::sync::{oneshot, broadcast}::Sender` | `send` | [`SendWithContext`] | yes |
//! | `tokio::sync::watch::Sender` | `send` | [`SendWithContext`] | yes |
//! | | `send_replace`, `send_modify`, `send_if_modified` | [`tokio::WatchSenderExt`] | yes |
//! | `futures::channel::mpsc::Sender` | `send` (async), `try_send` | [`AsyncSendWithContext`], [`TrySendWithContext`] | yes |
//! | `futures::channel::mpsc::UnboundedSender` | `send`, which is its `unbounded_send` | [`SendWithContext`] | yes |
//! | `futures::channel::oneshot::Sender` | `send` | [`SendWithContext`] | yes |
//! | any other | none needed: `tx.send(value.with_current_context())` | | |
//!
//! # Guarantees
//!
//! - The context is captured at the call, also when the send is asynchronous and polled later.
//! - A message that is never received is dropped inside its context, when the channel drops it.
//! - A send that fails gives the bare value back in the channel's own error type, and lets the context go. (To keep
//!   the two together over a retry, bind the value: `tx.send(value.with_current_context())` gives back both.) The errors of
//!   `futures::channel::mpsc` are an exception: nobody else can build them, so they give the value back with its context.
//!
//! # Batches
//!
//! A batch that is collected from several requests and sent as one message has the context of whoever sends it, and a batch
//! that is sent at its first item and filled later has the first one's. Bind the items instead of the batch: a channel of
//! `Vec<WithContext<T>>`, whose receiver runs each item in its own context. A batch that belongs to one request is sent as it is,
//! and [`into_items`](crate::WithContext::into_items) gives each item its context. For one span over the whole batch, see
//! [`ContextExt::to_link`].

#[cfg(feature = "crossbeam-channel")]
pub mod crossbeam;
#[cfg(feature = "futures")]
mod futures;
mod std;
#[cfg(feature = "tokio")]
pub mod tokio;

use opentelemetry::Context;

use crate::{
    ContextExt, Snapshot, WithContext,
    hop::{Sealed, bind},
};

/// A message that a context travels with: a [`WithContext`].
#[diagnostic::on_unimplemented(
    message = "the messages of this channel carry no context",
    label = "the channel's messages are `{Self}`, not `WithContext<{Self}>`",
    note = "make it a channel of `ctxhop::WithContext<{Self}>`; its receiver gets the value by `message.run(|value| …)`"
)]
pub trait CarriesContext: Sealed {}

impl<T, S: Snapshot> Sealed for WithContext<T, S> {}

impl<T, S: Snapshot> CarriesContext for WithContext<T, S> {}

/// `send_with_context` and its kin, on the senders of many channels.
///
/// Use it in place of the sender's own `send`. It takes the sender as that one does: by reference, or by value where a
/// sender sends once. Where the original blocks, it blocks.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use opentelemetry::Context;
///
/// let (tx, rx) = tokio::sync::oneshot::channel();
/// tx.send_with_current_context("hello").unwrap();
/// assert_eq!(rx.blocking_recv().unwrap().run(str::len), 5);
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// tx.send_with_context(Context::new().with_value(7), "hello").unwrap();
/// assert_eq!(rx.recv().unwrap().run(|_hello| Context::current().get::<i32>().copied()), Some(7));
///
/// drop(rx);
/// assert_eq!(tx.send_with_context(Context::new(), "hello").unwrap_err().0, "hello");
/// ```
///
/// The channel's messages have to be a [`WithContext`]. Where they are not, the compiler says so:
///
/// ```compile_fail,E0277
/// use ctxhop::prelude::*;
///
/// let (tx, rx) = std::sync::mpsc::channel::<u32>();
/// tx.send_with_current_context(7).unwrap();
/// ```
pub trait SendWithContext: Sealed + Sized {
    /// What the channel's messages are.
    type Message;

    /// What the sender's own `send` returns, with the bare value in its error.
    type Output<T>;

    /// The sender's own `send`; `bare` takes the value out of a message that comes back.
    #[doc(hidden)]
    fn send_message<T>(self, message: Self::Message, bare: impl FnOnce(Self::Message) -> T) -> Self::Output<T>;

    /// Sends the value with the given context or other [`Snapshot`].
    ///
    /// # Errors
    ///
    /// Those of the sender's own `send`: mostly, that nobody will receive it. The value comes back in the error.
    #[track_caller]
    fn send_with_context<S: Snapshot, T>(self, context: S, value: T) -> Self::Output<T>
    where
        Self::Message: CarriesContext,
        Self: SendWithContext<Message = WithContext<T, S>>,
    {
        self.send_message(bind("channel::send", value, context), WithContext::into_inner)
    }

    /// Sends the value with the context that is current now. The current span stays open until the message is done.
    ///
    /// # Errors
    ///
    /// Those of the sender's own `send`: mostly, that nobody will receive it. The value comes back in the error.
    #[track_caller]
    fn send_with_current_context<T>(self, value: T) -> Self::Output<T>
    where
        Self::Message: CarriesContext,
        Self: SendWithContext<Message = WithContext<T>>,
    {
        self.send_with_context(Context::capture(), value)
    }

    /// Sends the value with the [`parent_only`](ContextExt::parent_only) part of the context that is current now, which
    /// keeps no span open.
    ///
    /// Use it for a message that waits, in `watch`, in `broadcast`, in a long queue. See [the module](self).
    ///
    /// # Errors
    ///
    /// Those of the sender's own `send`: mostly, that nobody will receive it. The value comes back in the error.
    #[track_caller]
    fn send_parent_only<T>(self, value: T) -> Self::Output<T>
    where
        Self::Message: CarriesContext,
        Self: SendWithContext<Message = WithContext<T>>,
    {
        self.send_with_context(Context::capture().parent_only(), value)
    }
}

/// `try_send_with_context` and its kin, on the senders of bounded channels.
///
/// Use it in place of the sender's own `try_send`, where there may be no room and no time to wait.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
/// use crossbeam_channel::TrySendError;
///
/// let (tx, _rx) = crossbeam_channel::bounded(1);
/// assert_eq!(tx.try_send_with_current_context(1), Ok(()));
/// assert_eq!(tx.try_send_with_current_context(2), Err(TrySendError::Full(2)));
/// ```
pub trait TrySendWithContext: Sealed + Sized {
    /// What the channel's messages are.
    type Message;

    /// The error of the sender's own `try_send`, with the value in it.
    type Error<T>;

    /// The sender's own `try_send`; `bare` takes the value out of a message that comes back.
    #[doc(hidden)]
    fn try_send_message<T>(
        self,
        message: Self::Message,
        bare: impl FnOnce(Self::Message) -> T,
    ) -> Result<(), Self::Error<T>>;

    /// Sends the value with the given context or other [`Snapshot`], if there is room.
    ///
    /// # Errors
    ///
    /// Those of the sender's own `try_send`: the channel is full or closed. The value comes back in the error.
    #[track_caller]
    fn try_send_with_context<S: Snapshot, T>(self, context: S, value: T) -> Result<(), Self::Error<T>>
    where
        Self::Message: CarriesContext,
        Self: TrySendWithContext<Message = WithContext<T, S>>,
    {
        self.try_send_message(bind("channel::try_send", value, context), WithContext::into_inner)
    }

    /// Sends the value with the context that is current now, if there is room. The current span stays open until the
    /// message is done.
    ///
    /// # Errors
    ///
    /// Those of the sender's own `try_send`: the channel is full or closed. The value comes back in the error.
    #[track_caller]
    fn try_send_with_current_context<T>(self, value: T) -> Result<(), Self::Error<T>>
    where
        Self::Message: CarriesContext,
        Self: TrySendWithContext<Message = WithContext<T>>,
    {
        self.try_send_with_context(Context::capture(), value)
    }

    /// Sends the value with the [`parent_only`](ContextExt::parent_only) part of the context that is current now, which
    /// keeps no span open, if there is room.
    ///
    /// # Errors
    ///
    /// Those of the sender's own `try_send`: the channel is full or closed. The value comes back in the error.
    #[track_caller]
    fn try_send_parent_only<T>(self, value: T) -> Result<(), Self::Error<T>>
    where
        Self::Message: CarriesContext,
        Self: TrySendWithContext<Message = WithContext<T>>,
    {
        self.try_send_with_context(Context::capture().parent_only(), value)
    }
}

/// `send_with_context` and its kin, on the senders whose `send` is asynchronous.
///
/// Use it in place of the sender's own `send`. The context is captured at the call, not when the future is polled.
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
///
/// The channel's messages have to be a [`WithContext`]. Where they are not, the compiler finds no such method, and offers
/// `try_send_with_current_context`, whose error says what is wrong:
///
/// ```compile_fail,E0599
/// use ctxhop::prelude::*;
///
/// let (tx, _rx) = tokio::sync::mpsc::channel::<u32>(1);
/// let send = tx.send_with_current_context(7);
/// ```
///
/// ```compile_fail,E0277
/// use ctxhop::prelude::*;
///
/// let (tx, _rx) = tokio::sync::mpsc::channel::<u32>(1);
/// tx.try_send_with_current_context(7).unwrap();
/// ```
pub trait AsyncSendWithContext<T, S: Snapshot>: Sealed + Sized {
    /// The error of a send, with the value in it.
    type Error;

    /// Sends the value with the given context or other [`Snapshot`].
    ///
    /// # Errors
    ///
    /// The channel is closed. The value comes back in the error.
    ///
    /// # Cancel safety
    ///
    /// That of the sender's own `send`: if the future is dropped before there was room, the message was not sent, and is
    /// dropped inside its context. To keep it, with tokio, `reserve` first and send with the permit.
    #[track_caller]
    fn send_with_context(self, context: S, value: T) -> impl Future<Output = Result<(), Self::Error>>;
}

/// [`AsyncSendWithContext`], with the current context.
pub trait AsyncSendWithCurrentContext<T>: AsyncSendWithContext<T, Context> {
    /// Sends the value with the context that is current at this call. The current span stays open until the message is
    /// done.
    ///
    /// # Errors
    ///
    /// The channel is closed. The value comes back in the error.
    ///
    /// # Cancel safety
    ///
    /// That of [`send_with_context`](AsyncSendWithContext::send_with_context).
    #[track_caller]
    fn send_with_current_context(self, value: T) -> impl Future<Output = Result<(), Self::Error>>;

    /// Sends the value with the [`parent_only`](ContextExt::parent_only) part of the context that is current at this call,
    /// which keeps no span open.
    ///
    /// # Errors
    ///
    /// The channel is closed. The value comes back in the error.
    ///
    /// # Cancel safety
    ///
    /// That of [`send_with_context`](AsyncSendWithContext::send_with_context).
    #[track_caller]
    fn send_parent_only(self, value: T) -> impl Future<Output = Result<(), Self::Error>>;
}
