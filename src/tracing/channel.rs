//! [`crate::channel`]'s methods, with the current [`TracingSnapshot`].
//!
//! Each has a twin in [`crate::channel`], whose docs say the rest: errors, panics, cancel safety, and what keeps a span open.
//! A channel of `T` becomes a channel of `WithContext<T, TracingSnapshot>`. The methods named `…_parent_span_only` are the
//! twins of `…_parent_only`.

#[cfg(any(feature = "crossbeam-channel", feature = "tokio"))]
use std::time::Duration;
#[cfg(feature = "crossbeam-channel")]
use std::time::Instant;

use super::TracingSnapshot;
#[cfg(feature = "crossbeam-channel")]
use crate::channel::crossbeam;
#[cfg(feature = "tokio")]
use crate::channel::tokio;
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
    fn send_with_current_span<T>(self, value: T) -> Self::Output<T>
    where
        Self::Message: CarriesContext,
        Self: SendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_with_context(TracingSnapshot::capture(), value)
    }

    /// The sender's own `send`, with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
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
    fn try_send_with_current_span<T>(self, value: T) -> Result<(), Self::Error<T>>
    where
        Self::Message: CarriesContext,
        Self: TrySendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.try_send_with_context(TracingSnapshot::capture(), value)
    }

    /// The sender's own `try_send`, with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
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
pub trait AsyncSendWithCurrentSpan: AsyncSendWithContext {
    /// The sender's own `send`, with the current [`TracingSnapshot`].
    fn send_with_current_span<T>(self, value: T) -> impl Future<Output = Result<(), Self::Error<T>>>
    where
        Self::Message: CarriesContext,
        Self: AsyncSendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_with_context(TracingSnapshot::capture(), value)
    }

    /// The sender's own `send`, with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    fn send_parent_span_only<T>(self, value: T) -> impl Future<Output = Result<(), Self::Error<T>>>
    where
        Self::Message: CarriesContext,
        Self: AsyncSendWithContext<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_with_context(TracingSnapshot::capture().parent_only(), value)
    }
}

impl<X: AsyncSendWithContext> AsyncSendWithCurrentSpan for X {}

/// [`crossbeam::SenderExt`], with the current [`TracingSnapshot`].
#[cfg(feature = "crossbeam-channel")]
pub trait CrossbeamSenderExt: crossbeam::SenderExt {
    /// [`send_timeout`](crossbeam_channel::Sender::send_timeout), with the current [`TracingSnapshot`].
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
pub trait TokioSenderExt: tokio::SenderExt {
    /// [`send_timeout`](::tokio::sync::mpsc::Sender::send_timeout), with the current [`TracingSnapshot`].
    fn send_timeout_with_current_span<T>(
        &self,
        value: T,
        timeout: Duration,
    ) -> impl Future<Output = Result<(), ::tokio::sync::mpsc::error::SendTimeoutError<T>>>
    where
        Self::Message: CarriesContext,
        Self: tokio::SenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_timeout_with_context(TracingSnapshot::capture(), value, timeout)
    }

    /// [`blocking_send`](::tokio::sync::mpsc::Sender::blocking_send), with the current [`TracingSnapshot`].
    #[track_caller]
    fn blocking_send_with_current_span<T>(&self, value: T) -> Result<(), ::tokio::sync::mpsc::error::SendError<T>>
    where
        Self::Message: CarriesContext,
        Self: tokio::SenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.blocking_send_with_context(TracingSnapshot::capture(), value)
    }
}

#[cfg(feature = "tokio")]
impl<X: tokio::SenderExt> TokioSenderExt for X {}

/// [`tokio::WatchSenderExt`], with the current [`TracingSnapshot`].
#[cfg(feature = "tokio")]
pub trait TokioWatchSenderExt: tokio::WatchSenderExt {
    /// [`send_replace`](::tokio::sync::watch::Sender::send_replace), with the current [`TracingSnapshot`].
    fn send_replace_with_current_span<T>(&self, value: T) -> WithContext<T, TracingSnapshot>
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_replace_with_context(TracingSnapshot::capture(), value)
    }

    /// [`send_replace`](::tokio::sync::watch::Sender::send_replace), with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    fn send_replace_parent_span_only<T>(&self, value: T) -> WithContext<T, TracingSnapshot>
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_replace_with_context(TracingSnapshot::capture().parent_only(), value)
    }

    /// [`send_modify`](::tokio::sync::watch::Sender::send_modify), with the current [`TracingSnapshot`].
    fn send_modify_with_current_span<T>(&self, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_modify_with_context(TracingSnapshot::capture(), modify);
    }

    /// [`send_modify`](::tokio::sync::watch::Sender::send_modify), with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
    fn send_modify_parent_span_only<T>(&self, modify: impl FnOnce(&mut T))
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_modify_with_context(TracingSnapshot::capture().parent_only(), modify);
    }

    /// [`send_if_modified`](::tokio::sync::watch::Sender::send_if_modified), with the current [`TracingSnapshot`].
    fn send_if_modified_with_current_span<T>(&self, modify: impl FnOnce(&mut T) -> bool) -> bool
    where
        Self::Message: CarriesContext,
        Self: tokio::WatchSenderExt<Message = WithContext<T, TracingSnapshot>>,
    {
        self.send_if_modified_with_context(TracingSnapshot::capture(), modify)
    }

    /// [`send_if_modified`](::tokio::sync::watch::Sender::send_if_modified), with the [`parent_only`](TracingSnapshot::parent_only) part of the current [`TracingSnapshot`], which keeps no
    /// span open.
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
