//! [`crate::channel`]'s methods, with the current [`TracingSnapshot`].
//!
//! Each has a twin in [`crate::channel`], whose docs say the rest: errors, panics, cancel safety, and what keeps a span open.
//! A channel of `T` becomes a channel of `WithContext<T, TracingSnapshot>`. The methods named `…_parent_span_only` are the
//! twins of `…_parent_only`.

#[cfg(any(feature = "crossbeam-channel", feature = "tokio"))]
use std::time::Duration;
#[cfg(feature = "crossbeam-channel")]
use std::time::Instant;

#[cfg(feature = "tokio")]
use ::tokio::sync::mpsc::error::{SendError, SendTimeoutError};

use super::TracingSnapshot;
#[cfg(feature = "crossbeam-channel")]
use crate::channel::crossbeam;
#[cfg(feature = "tokio")]
use crate::channel::tokio::{self, SenderExt as _};
use crate::{
    Snapshot, WithContext,
    channel::{AsyncSendWithContext, CarriesContext, SendWithContext, TrySendWithContext},
};

/// [`SendWithContext`], with the current [`TracingSnapshot`].
///
/// # Examples
///
/// ```
/// use ctxhop::tracing::prelude::*;
/// use tracing::{Span, info_span};
/// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// info_span!("order", id = 7).in_scope(|| tx.send_with_current_span("two apples")).unwrap();
///
/// let name = rx.recv().unwrap().run(|_apples| Span::current().metadata().map(|span| span.name()));
/// assert_eq!(name, Some("order"));
/// ```
pub trait SendWithCurrentSpan: SendWithContext {
    /// The sender's own `send`, with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_with_current_span<T>(self, value: T) -> Self::Output<T>
    where
        Self::Message: CarriesContext,
        Self: SendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_with_context(TracingSnapshot::capture(), value)
    }

    /// The sender's own `send`, with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    #[track_caller]
    fn send_parent_span_only<T>(self, value: T) -> Self::Output<T>
    where
        Self::Message: CarriesContext,
        Self: SendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_with_context(TracingSnapshot::capture().parent_only(), value)
    }
}

impl<X: SendWithContext> SendWithCurrentSpan for X {}

/// [`TrySendWithContext`], with the current [`TracingSnapshot`].
pub trait TrySendWithCurrentSpan: TrySendWithContext {
    /// The sender's own `try_send`, with the current [`TracingSnapshot`].
    #[track_caller]
    fn try_send_with_current_span<T>(self, value: T) -> Result<(), Self::Error<T>>
    where
        Self::Message: CarriesContext,
        Self: TrySendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.try_send_with_context(TracingSnapshot::capture(), value)
    }

    /// The sender's own `try_send`, with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    #[track_caller]
    fn try_send_parent_span_only<T>(self, value: T) -> Result<(), Self::Error<T>>
    where
        Self::Message: CarriesContext,
        Self: TrySendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.try_send_with_context(TracingSnapshot::capture().parent_only(), value)
    }
}

impl<X: TrySendWithContext> TrySendWithCurrentSpan for X {}

/// [`AsyncSendWithContext`], with the current [`TracingSnapshot`].
pub trait AsyncSendWithCurrentSpan<T>: AsyncSendWithContext<T, TracingSnapshot> {
    /// The sender's own `send`, with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_with_current_span(self, value: T) -> impl Future<Output = Result<(), Self::Error>>;

    /// The sender's own `send`, with the [`parent_only`](TracingSnapshot::parent_only) part of the current
    /// [`TracingSnapshot`], which keeps no span open.
    #[track_caller]
    fn send_parent_span_only(self, value: T) -> impl Future<Output = Result<(), Self::Error>>;
}

/// [`tokio::sync::mpsc::Sender`](::tokio::sync::mpsc::Sender).
#[cfg(feature = "tokio")]
impl<T> AsyncSendWithCurrentSpan<T> for &::tokio::sync::mpsc::Sender<WithContext<T, TracingSnapshot>> {
    fn send_with_current_span(self, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        self.send_with_context(TracingSnapshot::capture(), value)
    }

    fn send_parent_span_only(self, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        self.send_with_context(TracingSnapshot::capture().parent_only(), value)
    }
}

/// [`futures::channel::mpsc::Sender`](futures_channel::mpsc::Sender).
#[cfg(feature = "futures")]
impl<T> AsyncSendWithCurrentSpan<T> for &mut futures_channel::mpsc::Sender<WithContext<T, TracingSnapshot>> {
    fn send_with_current_span(self, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        self.send_with_context(TracingSnapshot::capture(), value)
    }

    fn send_parent_span_only(self, value: T) -> impl Future<Output = Result<(), Self::Error>> {
        self.send_with_context(TracingSnapshot::capture().parent_only(), value)
    }
}

/// [`crossbeam::SenderExt`], with the current [`TracingSnapshot`].
#[cfg(feature = "crossbeam-channel")]
pub trait CrossbeamSenderExt: crossbeam::SenderExt {
    /// [`send_timeout`](crossbeam_channel::Sender::send_timeout), with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_timeout_with_current_span<T>(
        &self,
        value: T,
        timeout: Duration,
    ) -> Result<(), crossbeam_channel::SendTimeoutError<T>>
    where
        Self::Message: CarriesContext,
        Self: crossbeam::SenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_timeout_with_context(TracingSnapshot::capture(), value, timeout)
    }

    /// [`send_deadline`](crossbeam_channel::Sender::send_deadline), with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_deadline_with_current_span<T>(
        &self,
        value: T,
        deadline: Instant,
    ) -> Result<(), crossbeam_channel::SendTimeoutError<T>>
    where
        Self::Message: CarriesContext,
        Self: crossbeam::SenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_deadline_with_context(TracingSnapshot::capture(), value, deadline)
    }
}

#[cfg(feature = "crossbeam-channel")]
impl<X: crossbeam::SenderExt> CrossbeamSenderExt for X {}

/// [`tokio::SenderExt`], with the current [`TracingSnapshot`].
#[cfg(feature = "tokio")]
pub trait TokioSenderExt<T>: tokio::SenderExt<T, TracingSnapshot> {
    /// [`send_timeout`](::tokio::sync::mpsc::Sender::send_timeout), with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_timeout_with_current_span(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>>;

    /// [`blocking_send`](::tokio::sync::mpsc::Sender::blocking_send), with the current [`TracingSnapshot`].
    #[track_caller]
    fn blocking_send_with_current_span(&self, value: T) -> Result<(), SendError<T>> {
        self.blocking_send_with_context(TracingSnapshot::capture(), value)
    }
}

#[cfg(feature = "tokio")]
impl<T> TokioSenderExt<T> for ::tokio::sync::mpsc::Sender<WithContext<T, TracingSnapshot>> {
    fn send_timeout_with_current_span(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), SendTimeoutError<T>>> {
        self.send_timeout_with_context(TracingSnapshot::capture(), value, timeout)
    }
}

/// [`tokio::WatchSenderExt`], with the current [`TracingSnapshot`].
#[cfg(feature = "tokio")]
pub trait TokioWatchSenderExt: tokio::WatchSenderExt {
    /// [`send_replace`](::tokio::sync::watch::Sender::send_replace), with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_replace_with_current_span<T>(&self, value: T) -> WithContext<T, TracingSnapshot>
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_replace_with_context(TracingSnapshot::capture(), value)
    }

    /// [`send_replace`](::tokio::sync::watch::Sender::send_replace), with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    #[track_caller]
    fn send_replace_parent_span_only<T>(&self, value: T) -> WithContext<T, TracingSnapshot>
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_replace_with_context(TracingSnapshot::capture().parent_only(), value)
    }

    /// [`send_modify`](::tokio::sync::watch::Sender::send_modify), with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_modify_with_current_span<T>(&self, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_modify_with_context(TracingSnapshot::capture(), modify);
    }

    /// [`send_modify`](::tokio::sync::watch::Sender::send_modify), with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    #[track_caller]
    fn send_modify_parent_span_only<T>(&self, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_modify_with_context(TracingSnapshot::capture().parent_only(), modify);
    }

    /// [`send_if_modified`](::tokio::sync::watch::Sender::send_if_modified), with the current [`TracingSnapshot`].
    #[track_caller]
    fn send_if_modified_with_current_span<T>(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_if_modified_with_context(TracingSnapshot::capture(), modify)
    }

    /// [`send_if_modified`](::tokio::sync::watch::Sender::send_if_modified), with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    #[track_caller]
    fn send_if_modified_parent_span_only<T>(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_if_modified_with_context(TracingSnapshot::capture().parent_only(), modify)
    }
}

#[cfg(feature = "tokio")]
impl<X: tokio::WatchSenderExt> TokioWatchSenderExt for X {}
