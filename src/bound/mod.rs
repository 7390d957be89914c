//! [`WithContext`]: a value together with the context that it runs in.

mod future;
mod iterator;
#[cfg(feature = "rayon")]
pub(crate) mod parallel;
#[cfg(feature = "futures")]
mod sink;
#[cfg(feature = "futures")]
mod stream;

use std::{fmt, mem::needs_drop, pin::Pin};

use opentelemetry::Context;
use pin_project_lite::pin_project;

use crate::Snapshot;

/// Binds a context to any value: a future, stream, sink, iterator, closure or message.
///
/// Import it (or [`ctxhop::prelude`](crate::prelude)) and call [`with_current_context`](Self::with_current_context) on
/// what you hand over. What comes back is a [`WithContext`]: still a future if the value was one, still a stream, and
/// so on.
///
/// opentelemetry's own `FutureExt` has methods of the same names, and `anyhow::Context` has a `with_context`. Import one
/// of them in a module, or name the trait in the call: `Propagate::with_context(fut, cx)`.
pub trait Propagate: Sized {
    /// Binds the context that is current **now**, at this call, not when the work starts.
    ///
    /// Use it on whatever is about to leave this task or thread. It binds an empty context too: the work then sees
    /// none, rather than that of whoever runs it.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use opentelemetry::Context;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let task = {
    ///     let _guard = Context::current_with_value("request 7").attach();
    ///     tokio::spawn(async { Context::current().get::<&str>().copied() }.with_current_context())
    /// };
    /// assert_eq!(task.await.unwrap(), Some("request 7"));
    /// # });
    /// ```
    fn with_current_context(self) -> WithContext<Self> {
        self.with_context(Context::capture())
    }

    /// Binds the given context, or any other [`Snapshot`].
    ///
    /// Use it where the context came from elsewhere: a message, a request's extensions, a field.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use opentelemetry::Context;
    ///
    /// let cx = Context::new().with_value(7);
    /// let squares = (0..3).map(|n| n * Context::current().get::<i32>().unwrap());
    /// assert_eq!(squares.with_context(cx).collect::<Vec<_>>(), [0, 7, 14]);
    /// ```
    fn with_context<S: Snapshot>(self, context: S) -> WithContext<Self, S> {
        WithContext { inner: Some(self), context: Some(context) }
    }

    /// Captures and binds the [`Snapshot`] of your choice.
    ///
    /// Use it to let more than the OpenTelemetry context travel: `with_current::<(Context, Tenant)>()`. See
    /// [`Snapshot`] for how to write `Tenant`.
    fn with_current<S: Snapshot>(self) -> WithContext<Self, S> {
        self.with_context(S::capture())
    }

    /// Binds an empty context: the work sees nothing of whoever started it, and keeps none of its spans open.
    ///
    /// Use it for long-lived tasks that are started on the way by whoever comes first: connection pools, caches, flush
    /// loops. To stay in the trace but not keep its span open, use [`ContextExt::parent_only`](crate::ContextExt).
    ///
    /// Give what is detached to the bare `tokio::spawn`, not to `ctxhop::tokio::spawn`: that one would bind the current
    /// context around it, which the work does not see, but which is held until the work is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use opentelemetry::Context;
    ///
    /// let _guard = Context::current_with_value("request 7").attach();
    /// let worker = async { Context::current().get::<&str>().copied() }.detached();
    /// assert_eq!(futures::executor::block_on(worker), None);
    /// ```
    fn detached(self) -> WithContext<Self> {
        self.with_context(Context::new())
    }
}

impl<T> Propagate for T {}

pin_project! {
    /// A value together with the context that it belongs to. Made by [`Propagate`].
    ///
    /// It is a [`Future`], [`Iterator`], `Stream` or `Sink` when `T` is one, and runs every call of it with the context
    /// attached. Around any other value it is a message: send it over any channel, and [`run`](Self::run) the work on
    /// the other side.
    ///
    /// # Guarantees
    ///
    /// - Inside a call, exactly this context is current, also when it is empty; after the call, what was current
    ///   before, also when the call panics. Between two polls the thread is clean.
    /// - Dropped at any time (not polled yet, half-way, never received), the value is dropped with its context
    ///   attached.
    /// - The context is let go when the work is done: a future is ready, a stream or iterator has ended, a sink is
    ///   closed, a message's `run` has returned. A finished wrapper that is still around keeps no span open.
    /// - A future that is ready is dropped at once, inside its context, with all that it still holds: the loser of a
    ///   `select`, the work behind a `timeout`. Streams, iterators and sinks stay when they have ended, and are from then
    ///   on as if they were bare, for a stream may be filled again, or be a sink too. So bind the stream before a
    ///   `take(n)` rather than after it, and each half of what is both stream and sink.
    /// - A clone has the same context; the value is cloned in the caller's.
    /// - It adds no allocation, lock or log, and is [`Send`], [`Sync`] and [`Unpin`] as `T` and `S` are.
    ///
    /// # Panics
    ///
    /// All methods that give access to the value or its context panic once there is none to give: the context after
    /// the work is done, the value after a future is ready. Messages and closures always have both.
    ///
    /// Whatever attaches, the drop too, panics while OpenTelemetry has its current context borrowed, as
    /// [`Context::attach`] does: inside `Context::map_current`, and so inside a sampler or a processor's `on_start`.
    ///
    /// # Examples
    ///
    /// A message over a channel that this crate knows nothing of:
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use opentelemetry::Context;
    ///
    /// let (tx, rx) = async_channel::bounded(8);
    /// tx.try_send(20.with_context(Context::new().with_value(22))).unwrap();
    ///
    /// let message = rx.try_recv().unwrap();
    /// let sum = message.run(|n| n + Context::current().get::<i32>().unwrap());
    /// assert_eq!(sum, 42);
    /// ```
    ///
    /// Dropping it unused is most likely a mistake, and warned of:
    ///
    /// ```compile_fail
    /// #![deny(unused_must_use)]
    /// use ctxhop::Propagate;
    /// async {}.with_current_context();
    /// ```
    ///
    /// ```
    /// #![deny(unused_must_use)]
    /// use ctxhop::Propagate;
    /// futures::executor::block_on(async {}.with_current_context());
    /// ```
    #[must_use = "futures, streams and iterators do nothing unless polled, closures unless run, messages unless sent"]
    #[derive(Clone)]
    pub struct WithContext<T, S = Context>
    where
        S: Snapshot,
    {
        // `None` once a future is ready, or `self` is taken apart.
        #[pin]
        pub(crate) inner: Option<T>,
        // `None` once the work is done, or `self` is taken apart.
        pub(crate) context: Option<S>,
    }

    impl<T, S> PinnedDrop for WithContext<T, S>
    where
        S: Snapshot,
    {
        fn drop(this: Pin<&mut Self>) {
            // Nothing to see the context: not worth attaching it.
            if !needs_drop::<T>() {
                return;
            }
            let mut this = this.project();
            if let Some(context) = this.context.take() {
                let _guard = context.attach();
                this.inner.set(None);
            }
        }
    }
}

const NO_INNER: &str = "`WithContext` has no value any more: its future is ready";
const NO_CONTEXT: &str = "`WithContext` has no context any more: its work is done";

impl<T, S: Snapshot> WithContext<T, S> {
    /// The context that the value is bound to.
    #[track_caller]
    pub fn context(&self) -> &S {
        self.context.as_ref().expect(NO_CONTEXT)
    }

    /// The value. What you call on it runs in the caller's context.
    #[track_caller]
    pub fn inner(&self) -> &T {
        self.inner.as_ref().expect(NO_INNER)
    }

    /// The value, to change it. What you call on it runs in the caller's context.
    #[track_caller]
    pub fn inner_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(NO_INNER)
    }

    /// The pinned value. What you call on it runs in the caller's context.
    #[track_caller]
    pub fn inner_pin_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().inner.as_pin_mut().expect(NO_INNER)
    }

    /// The value alone; its context is let go.
    #[must_use = "the value is dropped outside its context"]
    #[track_caller]
    pub fn into_inner(mut self) -> T {
        // First, as what has no value need not be attached to drop it.
        self.context = None;
        self.inner.take().expect(NO_INNER)
    }

    /// The value and its context, apart. Nothing binds them any more.
    #[must_use = "the value is dropped outside its context"]
    #[track_caller]
    pub fn into_parts(mut self) -> (T, S) {
        let context = self.context.take().expect(NO_CONTEXT);
        (self.inner.take().expect(NO_INNER), context)
    }

    /// Makes another value of this one, bound to the same context. `f` runs in that context.
    ///
    /// Use it to decode or convert a message before it goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    ///
    /// let message = "7".with_current_context().map_inner(|text| text.parse::<u32>());
    /// assert_eq!(message.into_inner(), Ok(7));
    /// ```
    #[track_caller]
    pub fn map_inner<U>(self, f: impl FnOnce(T) -> U) -> WithContext<U, S> {
        let (inner, context) = self.into_parts();
        context.run(|| f(inner)).with_context(context)
    }

    /// Does a message's work: calls `f` with the value, in its context, and lets the context go.
    ///
    /// Use it at the receiving end of a channel, in synchronous code. With a closure that returns a future, the context
    /// would be attached only while that future is made: see [`run_async`](Self::run_async).
    ///
    /// # Panics
    ///
    /// With `f`'s own panic, after detaching.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::prelude::*;
    /// use opentelemetry::Context;
    ///
    /// let (tx, rx) = std::sync::mpsc::channel();
    /// std::thread::spawn(move || {
    ///     let _guard = Context::current_with_value("sender").attach();
    ///     tx.send_with_current_context("hello").unwrap();
    /// });
    ///
    /// let seen = rx.recv().unwrap().run(|hello| (hello, Context::current().get::<&str>().copied()));
    /// assert_eq!(seen, ("hello", Some("sender")));
    /// ```
    #[inline]
    #[track_caller]
    pub fn run<R>(mut self, f: impl FnOnce(T) -> R) -> R {
        let _guard = self.context.take().expect(NO_CONTEXT).attach();
        f(self.inner.take().expect(NO_INNER))
    }

    /// Calls `f` with the value by reference, in its context, as often as you like.
    ///
    /// Use it where a message is shared: in an [`Arc`](std::sync::Arc), or behind the borrow of a watch channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use opentelemetry::Context;
    ///
    /// let config = vec![1, 2].with_context(Context::new().with_value(10));
    /// let (_tx, rx) = tokio::sync::watch::channel(config);
    /// let sum = rx.borrow().run_ref(|list| list.iter().sum::<i32>() + Context::current().get::<i32>().unwrap());
    /// assert_eq!(sum, 13);
    /// ```
    #[inline]
    #[track_caller]
    pub fn run_ref<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        let inner = self.inner();
        self.context().run(|| f(inner))
    }

    /// Does a message's work in asynchronous code: calls `f` at once, in the context, and binds the future to it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the message belongs to the future, and is dropped with it, inside its context.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::prelude::*;
    /// use opentelemetry::Context;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let (tx, mut rx) = tokio::sync::mpsc::channel(8);
    /// let sender = async move { tx.send_with_current_context("hello").await };
    /// tokio::spawn(sender.with_context(Context::new().with_value("sender")));
    ///
    /// async fn handle(hello: &str) -> (&str, Option<&'static str>) {
    ///     tokio::task::yield_now().await;
    ///     (hello, Context::current().get::<&str>().copied())
    /// }
    /// let seen = rx.recv().await.unwrap().run_async(|hello| handle(hello)).await;
    /// assert_eq!(seen, ("hello", Some("sender")));
    /// # });
    /// ```
    #[track_caller]
    pub fn run_async<F: Future>(self, f: impl FnOnce(T) -> F) -> WithContext<F, S> {
        self.map_inner(f)
    }

    /// Calls `f` with the value, in the context as long as there is one.
    #[inline]
    #[track_caller]
    pub(crate) fn inside<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        let inner = self.inner.as_mut().expect(NO_INNER);
        match &self.context {
            Some(context) => context.run(|| f(inner)),
            None => f(inner),
        }
    }

    /// Calls `f` with the pinned value, in the context as long as there is one.
    #[cfg(feature = "futures")]
    #[inline]
    pub(crate) fn inside_pinned<R>(self: Pin<&mut Self>, f: impl FnOnce(Pin<&mut T>) -> R) -> R {
        let this = self.project();
        let inner = this.inner.as_pin_mut().expect(NO_INNER);
        match this.context {
            Some(context) => context.run(|| f(inner)),
            None => f(inner),
        }
    }

    /// Lets the context go: the work is done.
    #[cfg(feature = "futures")]
    pub(crate) fn let_go(self: Pin<&mut Self>) {
        *self.project().context = None;
    }
}

impl<T: fmt::Debug, S: Snapshot + fmt::Debug> fmt::Debug for WithContext<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithContext").field("inner", &self.inner).field("context", &self.context).finish()
    }
}
