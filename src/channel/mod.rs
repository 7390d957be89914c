//! Messages that carry the context over native channels.
//!
//! A channel of `T` becomes a channel of [`WithContext<T>`](crate::WithContext); it stays the native one, so `select!`,
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
//! | sender | methods with `_with_current_context` |
//! |---|---|
//! | `std::sync::mpsc::Sender` | [`send`](SendWithContext) |
//! | `std::sync::mpsc::SyncSender` | [`send`](SendWithContext), [`try_send`](TrySendWithContext) |
//! | `crossbeam_channel::Sender` | [`send`](SendWithContext), [`try_send`](TrySendWithContext), [`send_timeout`, `send_deadline`](crossbeam::SenderExt) |
//! | `tokio::sync::mpsc::Sender` | [`send` (async), `send_timeout` (async), `blocking_send`](tokio::SenderExt), [`try_send`](TrySendWithContext) |
//! | `tokio::sync::mpsc::{UnboundedSender, Permit, OwnedPermit}` | [`send`](SendWithContext) |
//! | `tokio::sync::{oneshot, broadcast, watch}::Sender` | [`send`](SendWithContext) |
//! | `futures::channel::mpsc::Sender` | [`try_send`](TrySendWithContext) |
//! | `futures::channel::mpsc::UnboundedSender` | [`send`](SendWithContext), which is its `unbounded_send` |
//! | `futures::channel::oneshot::Sender` | [`send`](SendWithContext) |
//! | any other | none needed: `tx.send(value.with_current_context())` |
//!
//! # Guarantees
//!
//! - The context is captured at the call, also when the send is asynchronous and polled later.
//! - A message that is never received is dropped inside its context, when the channel drops it.
//! - A send that fails gives the bare value back in the channel's own error type, and lets the context go. (To keep
//!   the two together over a retry, bind by hand: `tx.send(value.with_current_context())` gives back both.)

#[cfg(feature = "crossbeam-channel")]
pub mod crossbeam;
#[cfg(feature = "futures")]
mod futures;
mod std;
#[cfg(feature = "tokio")]
pub mod tokio;

/// `send_with_current_context`, on the senders of many channels.
///
/// Use it in place of the sender's own `send`. It takes the sender as that one does: by reference, or by value where a
/// sender sends once. What blocks there blocks here.
///
/// # Examples
///
/// ```
/// use ctxhop::prelude::*;
///
/// let (tx, rx) = tokio::sync::oneshot::channel();
/// tx.send_with_current_context("hello").unwrap();
/// assert_eq!(rx.blocking_recv().unwrap().run(str::len), 5);
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// drop(rx);
/// assert_eq!(tx.send_with_current_context("hello").unwrap_err().0, "hello");
/// ```
pub trait SendWithContext<T> {
    /// What the sender's own `send` returns, with the bare value in its error.
    type Output;

    /// Sends the value with the context that is current now.
    ///
    /// # Errors
    ///
    /// As the sender's own `send`: mostly, that nobody will receive it. The value comes back in the error.
    fn send_with_current_context(self, value: T) -> Self::Output;
}

/// `try_send_with_current_context`, on the senders of bounded channels.
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
pub trait TrySendWithContext<T> {
    /// The error of the sender's own `try_send`, with the value in it.
    type Error;

    /// Sends the value with the context that is current now, if there is room.
    ///
    /// # Errors
    ///
    /// As the sender's own `try_send`: the channel is full or closed. The value comes back in the error.
    fn try_send_with_current_context(self, value: T) -> Result<(), Self::Error>;
}
