//! [`WithContext`]: a value together with the context that it runs in.

#[cfg(feature = "tower")]
mod body;
mod future;
#[cfg(any(feature = "futures", feature = "tokio"))]
mod io;
mod iterator;
#[cfg(feature = "rayon")]
pub(crate) mod parallel;
#[cfg(feature = "tower")]
mod service;
#[cfg(feature = "futures")]
mod sink;
#[cfg(feature = "futures")]
mod stream;

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    pin::Pin,
};

use opentelemetry::Context;
use pin_project_lite::pin_project;

use crate::{
    Snapshot,
    snapshot::{Carried, OnHop, RunAsync},
    trail,
};

/// Binds a context to any value: a future, stream, sink, iterator, closure or message.
///
/// Import it (or [`ctxhop::prelude`](crate::prelude)) and call [`with_current_context`](Self::with_current_context) on
/// what you hand over. The result is a [`WithContext`]: still a future if the value was one, still a stream, and
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
    #[track_caller]
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
    #[track_caller]
    fn with_context<S: Snapshot>(self, context: S) -> WithContext<Self, S> {
        bind("with_context", self, context)
    }

    /// Captures and binds the [`Snapshot`] of your choice.
    ///
    /// Use it to let more than the OpenTelemetry context travel: `with_current::<(Context, Tenant)>()`. See
    /// [`Snapshot`] for how to write `Tenant`.
    #[track_caller]
    fn with_current<S: Snapshot>(self) -> WithContext<Self, S> {
        self.with_context(S::capture())
    }

    /// Binds an empty context: the work sees nothing of whoever started it, and keeps none of its spans open.
    ///
    /// Use it for long-lived tasks that whichever request comes first happens to start: connection pools, caches, flush
    /// loops. To stay in the trace without keeping its span open, use [`ContextExt::parent_only`](crate::ContextExt).
    ///
    /// For a task or thread, call `ctxhop::tokio::spawn_detached` or `ctxhop::thread::spawn_detached` instead. Never give what
    /// is detached to `ctxhop::tokio::spawn`: the task around it would hold the current context until the work is done.
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
    #[track_caller]
    fn detached(self) -> WithContext<Self> {
        trail::explicit();
        self.with_context(Context::new())
    }
}

impl<T> Propagate for T {}

/// [`Propagate::with_context`] for a hop, by the name that its users know.
#[inline]
#[track_caller]
pub(crate) fn bind<T, S: Snapshot>(hop: &'static str, value: T, context: S) -> WithContext<T, S> {
    WithContext { carried: Carried::new(hop, value, context) }
}

pin_project! {
    /// A value together with the context that it belongs to. Made by [`Propagate`].
    ///
    /// It is a [`Future`], [`Iterator`], `Stream`, `Sink`, `AsyncRead` or `AsyncWrite` when `T` is one, and does its work
    /// (`poll`, `next`, `poll_next`, `start_send`, …) with the context attached. Methods that only tell something (`size_hint`,
    /// `len`, `is_terminated`) run in the caller's context. Around any other value it is a message: send it over any
    /// channel, and [`run`](Self::run) the work on the other side.
    ///
    /// # Guarantees
    ///
    /// - While the value works, exactly this context is current, also when it is empty. Afterwards what was current before
    ///   is current again, also when the work panics. Between two polls the thread is clean. There are two exceptions, where
    ///   OpenTelemetry takes no context: others hold the last of a thread's 65,534 places, or the thread ends and its storage is
    ///   gone. The work runs there all the same: see [`limits`](crate::manual::limits#in-the-process).
    /// - The value is dropped with its context attached, whenever that happens: not polled yet, half-way, never received,
    ///   ended.
    /// - A future that is ready is dropped at once, inside its context, with all that it still holds: the loser of a
    ///   `select`, the work behind a `timeout`. Then the context is let go, although the wrapper may still be around. A
    ///   message's `run` lets it go when it returns.
    /// - Streams, iterators, sinks, readers and writers keep their context until they are dropped, because they may go on
    ///   after an end: a `FuturesUnordered` is filled again, the other half of a socket is still open. Where an ended one
    ///   stays around, drop it, or take it out by [`into_inner`](Self::into_inner), to let go of its span; or bind
    ///   [`parent_only`](crate::ContextExt::parent_only), which holds none.
    /// - A clone has the same context. The value's own `clone` runs in the caller's.
    /// - It compares and hashes as the value does, in the caller's context; the context does not count.
    /// - It adds no allocation, lock or log, and is [`Send`], [`Sync`] and [`Unpin`] when `T` and `S` are.
    ///
    /// # Panics
    ///
    /// All methods that give access to the value or its context panic once a future was ready: then there is neither.
    /// Everything else always has both.
    ///
    /// Whatever attaches, the drop too, panics while OpenTelemetry has its current context borrowed, as
    /// [`Context::attach`] does: inside `Context::map_current` and `get_active_span`. Binding, cloning, sending and
    /// taking apart attach nothing and work there.
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
    /// Dropping it unused is most likely a mistake, and the compiler warns of it:
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
        #[pin]
        carried: Carried<T, S>,
    }
}

impl<T, S: Snapshot> WithContext<T, S> {
    /// The context that the value is bound to.
    #[track_caller]
    pub fn context(&self) -> &S {
        self.carried.get_snapshot()
    }

    /// The value. Its methods run in the caller's context.
    #[track_caller]
    pub fn inner(&self) -> &T {
        self.carried.get()
    }

    /// The value, to change it. Its methods run in the caller's context: see [`run_mut`](Self::run_mut).
    #[track_caller]
    pub fn inner_mut(&mut self) -> &mut T {
        self.carried.get_mut()
    }

    /// The pinned value. Its methods run in the caller's context: see [`run_pin_mut`](Self::run_pin_mut).
    #[track_caller]
    pub fn inner_pin_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().carried.get_pin_mut()
    }

    /// The value alone; its context is let go.
    #[must_use = "the value is dropped outside its context"]
    #[track_caller]
    pub fn into_inner(self) -> T {
        self.carried.into_value()
    }

    /// The value and its context, apart. Nothing binds them any more.
    #[must_use = "the value is dropped outside its context"]
    #[track_caller]
    pub fn into_parts(self) -> (T, S) {
        self.carried.into_parts()
    }

    /// As [`into_parts`](Self::into_parts), to bind other values by [`on_hop`](Self::on_hop).
    #[track_caller]
    pub(crate) fn into_hop(self) -> (T, OnHop<S>) {
        self.carried.into_hop()
    }

    /// Binds a value on a hop that is known already, so that what is noted of the hop stays the same.
    pub(crate) const fn on_hop<U>(value: U, on_hop: OnHop<S>) -> WithContext<U, S> {
        WithContext { carried: on_hop.carry(value) }
    }

    /// Binds the value to another context, and gives the one that it had.
    #[cfg(feature = "tokio")]
    pub(crate) const fn replace_hop(&mut self, on_hop: OnHop<S>) -> Option<OnHop<S>> {
        self.carried.replace_hop(on_hop)
    }

    /// Attaches the context, and gives the value: for a message whose work is no closure.
    ///
    /// Use it in synchronous code where the work has to `continue`, `return` or use `?`, which a closure for
    /// [`run`](Self::run) cannot. Never hold the guard across an `.await`: use [`run_async`](Self::run_async) there.
    ///
    /// # Guarantees
    ///
    /// The context is current until the guard is dropped. Bind both in one pattern, the guard by a name (`_guard`, not
    /// `_`, which drops it at once). Then the value is dropped before the guard, and so inside.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::prelude::*;
    /// use opentelemetry::Context;
    ///
    /// fn work(rx: std::sync::mpsc::Receiver<ctxhop::WithContext<&str>>) -> Result<i32, std::num::ParseIntError> {
    ///     let mut sum = 0;
    ///     for message in rx {
    ///         let (_guard, order) = message.enter();
    ///         if order.is_empty() {
    ///             continue;
    ///         }
    ///         sum += order.parse::<i32>()? * Context::current().get::<i32>().unwrap();
    ///     }
    ///     Ok(sum)
    /// }
    ///
    /// let (tx, rx) = std::sync::mpsc::channel();
    /// let _guard = Context::current_with_value(10).attach();
    /// for order in ["1", "", "2"] {
    ///     tx.send_with_current_context(order).unwrap();
    /// }
    /// drop(tx);
    /// assert_eq!(work(rx), Ok(30));
    /// ```
    #[must_use = "dropping the guard at once detaches the context"]
    #[track_caller]
    pub fn enter(self) -> (S::Guard, T) {
        self.carried.enter()
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
        let (inner, on_hop) = self.into_hop();
        let inner = on_hop.run(|| f(inner));
        Self::on_hop(inner, on_hop)
    }

    /// Does a message's work: calls `f` with the value, in its context, and lets the context go.
    ///
    /// Use it at the receiving end of a channel, in synchronous code. With an `async` closure the context would be
    /// current only while the future is made, and not while it runs: that is what [`run_async`](Self::run_async) is for.
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
    #[inline(always)]
    #[track_caller]
    pub fn run<R>(self, f: impl FnOnce(T) -> R) -> R {
        self.carried.run(f)
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
    pub fn run_ref<'a, R>(&'a self, f: impl FnOnce(&'a T) -> R) -> R {
        self.carried.run_ref(f)
    }

    /// Calls `f` with the value by mutable reference, in its context, as often as you like.
    ///
    /// Use it for a value that has a context for as long as it lives, and to implement a trait of your own for
    /// [`WithContext`].
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use opentelemetry::Context;
    ///
    /// let mut log = Vec::new().with_context(Context::new().with_value("request 7"));
    /// log.run_mut(|log| log.push(Context::current().get::<&str>().copied()));
    /// assert_eq!(log.into_inner(), [Some("request 7")]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn run_mut<'a, R>(&'a mut self, f: impl FnOnce(&'a mut T) -> R) -> R {
        self.carried.run_mut(f)
    }

    /// Calls `f` with the pinned value, in its context, as often as you like.
    ///
    /// Use it for what is polled, and is neither a future nor anything else that [`WithContext`] polls for you.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use futures::{AsyncSeek, io::Cursor};
    /// use std::{io::SeekFrom, pin::Pin, task::{self, Waker}};
    ///
    /// let mut file = Cursor::new("two apples").with_current_context();
    /// let task = &mut task::Context::from_waker(Waker::noop());
    /// let position = Pin::new(&mut file).run_pin_mut(|file| file.poll_seek(task, SeekFrom::Start(4)));
    /// assert!(position.is_ready());
    /// ```
    #[inline]
    #[track_caller]
    pub fn run_pin_mut<'a, R>(self: Pin<&'a mut Self>, f: impl FnOnce(Pin<&'a mut T>) -> R) -> R {
        self.project().carried.run_pin_mut(f)
    }

    /// Does a message's work in asynchronous code: calls `f` with the value at the first poll, and polls its future, all
    /// in the context.
    ///
    /// Like [`Snapshot::run_async`].
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
    /// let sender = async move { tx.send_with_current_context(7).await };
    /// tokio::spawn(sender.with_context(Context::new().with_value("sender")));
    ///
    /// async fn handle(order: u32) -> (u32, Option<&'static str>) {
    ///     tokio::task::yield_now().await;
    ///     (order, Context::current().get::<&str>().copied())
    /// }
    /// let seen = rx.recv().await.unwrap().run_async(|order| handle(order)).await;
    /// assert_eq!(seen, (7, Some("sender")));
    /// # });
    /// ```
    #[track_caller]
    pub fn run_async<M, F>(self, f: M) -> RunAsync<impl FnOnce() -> F, F, S>
    where
        M: FnOnce(T) -> F,
        F: Future,
    {
        let (inner, context) = self.into_parts();
        context.run_async(move || f(inner))
    }
}

impl<T: fmt::Debug, S: Snapshot + fmt::Debug> fmt::Debug for WithContext<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inner, context) = (self.carried.value(), self.carried.snapshot());
        f.debug_struct("WithContext").field("inner", &inner).field("context", &context).finish()
    }
}

/// By the values alone.
impl<T: PartialEq, S: Snapshot> PartialEq for WithContext<T, S> {
    fn eq(&self, other: &Self) -> bool {
        self.carried.value() == other.carried.value()
    }
}

impl<T: Eq, S: Snapshot> Eq for WithContext<T, S> {}

/// By the values alone, so that a heap or a sorted map of messages goes by what they are.
///
/// # Examples
///
/// ```
/// use ctxhop::Propagate;
/// use std::collections::BinaryHeap;
///
/// let mut jobs = BinaryHeap::from([2, 9, 4].map(Propagate::with_current_context));
/// assert_eq!(jobs.pop().unwrap().into_inner(), 9);
/// ```
impl<T: Ord, S: Snapshot> Ord for WithContext<T, S> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.carried.value().cmp(&other.carried.value())
    }
}

/// By the values alone.
impl<T: PartialOrd, S: Snapshot> PartialOrd for WithContext<T, S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.carried.value().partial_cmp(&other.carried.value())
    }
}

/// By the value alone.
impl<T: Hash, S: Snapshot> Hash for WithContext<T, S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(value) = self.carried.value() {
            value.hash(state);
        }
    }
}
