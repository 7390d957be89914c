//! [`Snapshot`]: what is captured where work is handed over, and attached where it runs.

mod carried;
mod context;
mod context_ext;
mod depth;
mod run_async;
mod teardown;
mod tuple;

use opentelemetry::Context;

pub(crate) use carried::{Carried, OnHop};
pub use context::ContextGuard;
pub use context_ext::ContextExt;
pub use run_async::RunAsync;
#[cfg(feature = "tracing")]
pub(crate) use teardown::storage_is_alive;

/// What can be captured where work is handed over, and attached where it runs.
///
/// `ctxhop` is built on this trait alone: a hop *captures* a snapshot, carries it with the work, and *attaches* it
/// while the work runs. [`Context`] implements it, and everything in this crate uses [`Context`] unless told
/// otherwise. Tuples of snapshots implement it too. Implement it for your own type, to make another thread-local travel
/// the same way.
///
/// # Guarantees
///
/// An implementation promises, and every hop relies on:
///
/// - [`attach`](Self::attach) makes this snapshot current **on this thread** until the guard is dropped, and the drop
///   brings back what was current before, also when guards are dropped by unwinding.
/// - The guard is not [`Send`]: it belongs to the thread that it was made on.
/// - [`clone`](Clone::clone) is cheap, because it happens once a poll: an [`Arc`](std::sync::Arc) rather than a deep copy.
/// - [`run`](Self::run), if it is not the provided one, does what `attach`, the call and the guard's drop do: hops take
///   either, and mostly `run`, which can attach without a clone.
/// - Neither `capture`, `attach` nor the guard's drop panics, because they run in destructors. ([`Context`]'s `attach` does
///   where [`WithContext`](crate::WithContext) says so.)
/// - Guards may be dropped in another order than the reverse of the one in which they were made: in parallel iterators,
///   where a closure panics or two bound ones are zipped. [`Context`] bears that. A guard that puts back what it found, as
///   below, is right everywhere else.
///
/// # Examples
///
/// A closure that runs on another thread, in the context of here:
///
/// ```
/// use ctxhop::Snapshot;
/// use opentelemetry::Context;
///
/// #[derive(Debug, PartialEq)]
/// struct RequestId(u64);
///
/// let _guard = Context::current_with_value(RequestId(7)).attach();
///
/// let job = Context::capture().wrap(|| Context::current().get::<RequestId>().map(|id| id.0));
/// assert_eq!(std::thread::spawn(job).join().unwrap(), Some(7));
/// ```
///
/// A thread-local of your own that travels together with the context:
///
/// ```
/// use ctxhop::{Propagate, Snapshot};
/// use opentelemetry::Context;
/// use std::{cell::Cell, marker::PhantomData};
///
/// thread_local!(static TENANT: Cell<u32> = const { Cell::new(0) });
///
/// #[derive(Clone)]
/// struct Tenant(u32);
///
/// /// Puts the previous tenant back; the raw pointer makes it `!Send`.
/// struct Reset(u32, PhantomData<*const ()>);
///
/// impl Drop for Reset {
///     fn drop(&mut self) {
///         TENANT.set(self.0);
///     }
/// }
///
/// impl Snapshot for Tenant {
///     type Guard = Reset;
///     fn capture() -> Self {
///         Tenant(TENANT.get())
///     }
///     fn attach(self) -> Reset {
///         Reset(TENANT.replace(self.0), PhantomData)
///     }
/// }
///
/// TENANT.set(42);
/// let job = (|| TENANT.get()).with_current::<(Context, Tenant)>();
/// assert_eq!(std::thread::spawn(|| job.run(|f| f())).join().unwrap(), 42);
/// ```
pub trait Snapshot: Clone {
    /// Detaches the snapshot when dropped, on the thread that attached it: a guard must not be [`Send`].
    ///
    /// [`Context`]'s is not:
    ///
    /// ```compile_fail,E0277
    /// use ctxhop::Snapshot;
    /// fn send<T: Send>(_: T) {}
    /// send(Snapshot::attach(opentelemetry::Context::new()));
    /// ```
    ///
    /// while the snapshot itself is:
    ///
    /// ```
    /// fn send<T: Send>(_: T) {}
    /// send(opentelemetry::Context::new());
    /// ```
    type Guard;

    /// Takes what is current on this thread.
    fn capture() -> Self;

    /// The OpenTelemetry context in it, if it has one.
    ///
    /// Nothing but strict mode asks for it (feature `strict`), to tell whose span is held.
    #[inline]
    fn opentelemetry(&self) -> Option<&Context> {
        None
    }

    /// Makes this snapshot current on this thread until the guard is dropped.
    ///
    /// Prefer [`run`](Self::run), [`wrap`](Self::wrap) and [`Propagate`](crate::Propagate), which cannot forget the guard. Never hold
    /// a guard across an `.await`: the thread goes on to other tasks, which would see this snapshot.
    #[must_use = "dropping the guard at once detaches the snapshot"]
    fn attach(self) -> Self::Guard;

    /// Calls `f` with this snapshot attached, and returns what it returns.
    ///
    /// Use it where the work runs, on this thread, now. If the work is asynchronous, use [`run_async`](Self::run_async): with
    /// an `async` closure or block, the snapshot would be attached only while the future is made. The compiler does not tell,
    /// because a closure may well return a future, `|| tokio::spawn(work())` for one.
    ///
    /// # Panics
    ///
    /// With `f`'s own panic, after detaching.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    ///
    /// let cx = Context::new().with_value("in");
    /// assert_eq!(cx.run(|| Context::current().get::<&str>().copied()), Some("in"));
    /// assert_eq!(Context::current().get::<&str>(), None);
    /// ```
    #[inline]
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _guard = self.clone().attach();
        f()
    }

    /// Runs `f` with this snapshot attached, for the last time.
    ///
    /// This is what a message, a closure or a dropped value goes through. The provided method attaches, and calls `f`. A
    /// snapshot that needs no [`Guard`](Self::Guard) around a call can do the same for less.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    ///
    /// let cx = Context::new().with_value("in");
    /// assert_eq!(cx.run_once(|| Context::current().get::<&str>().copied()), Some("in"));
    /// ```
    #[inline]
    fn run_once<R>(self, f: impl FnOnce() -> R) -> R {
        let _guard = self.attach();
        f()
    }

    /// Does asynchronous work with this snapshot attached: calls `f` at the first poll, and polls its future.
    ///
    /// Use it where a message arrives in asynchronous code: `carrier::extract(&headers).run_async(|| handle(message)).await`.
    ///
    /// # Guarantees
    ///
    /// - The snapshot is attached when `f` is called, at each poll, and when either is dropped. `f` is called inside because
    ///   much of what makes a future captures there and then: `.instrument(info_span!(…))`, a spawn, a publish.
    /// - It is let go when the future is ready.
    /// - The result is [`Send`] when `f`, its future and the snapshot are.
    ///
    /// # Panics
    ///
    /// With the panic of `f` or its future; and when polled again after it was ready.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as the future of `f`. Dropped before its first poll, it has not called `f`.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    ///
    /// async fn handle(message: &str) -> (&str, Option<i32>) {
    ///     (message, Context::current().get::<i32>().copied())
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let cx = Context::new().with_value(7);
    /// assert_eq!(cx.clone().run_async(|| handle("hello")).await, ("hello", Some(7)));
    ///
    /// // `run` makes the future inside, and leaves it to be polled outside.
    /// assert_eq!(cx.run(|| handle("hello")).await, ("hello", None));
    /// # });
    /// ```
    #[track_caller]
    fn run_async<M, F>(self, f: M) -> RunAsync<M, F, Self>
    where
        M: FnOnce() -> F,
        F: Future,
    {
        RunAsync::new(f, self)
    }

    /// Wraps a closure that runs once: `f` runs with this snapshot attached, wherever and whenever it is called.
    ///
    /// Use it for what any thread pool, scheduler or callback registry takes. If the closure is dropped without being
    /// called, what it captured is dropped with the snapshot attached. It is [`Send`] when `f` and the snapshot are.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    ///
    /// let jobs: Vec<Box<dyn FnOnce() -> Option<i32>>> = (0..3)
    ///     .map(|n| Box::new(Context::new().with_value(n).wrap(|| Context::current().get().copied())) as _)
    ///     .collect();
    /// let seen: Vec<_> = jobs.into_iter().map(|job| job()).collect();
    /// assert_eq!(seen, [Some(0), Some(1), Some(2)]);
    /// ```
    #[must_use = "the closure does nothing unless called"]
    #[track_caller]
    fn wrap<F, R>(self, f: F) -> impl FnOnce() -> R
    where
        F: FnOnce() -> R,
    {
        let f = Carried::new("wrap", f, self);
        move || f.run(|f| f())
    }

    /// Wraps a closure of one argument that may be called many times, from several threads if `f` may.
    ///
    /// Like [`wrap`](Self::wrap); each call attaches anew.
    ///
    /// # Other closures
    ///
    /// For none or two arguments, for arguments that are references (a comparator's), and where the compiler asks for the
    /// argument's type (E0282), write the closure where it is passed on, and use [`run`](Self::run) in it:
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    /// use std::sync::Arc;
    ///
    /// let cx = Context::new().with_value(2);
    ///
    /// let tick: Arc<dyn Fn() -> Option<i32>> = Arc::new({
    ///     let cx = cx.clone();
    ///     move || cx.run(|| Context::current().get().copied())
    /// });
    /// assert_eq!(tick(), Some(2));
    ///
    /// let mut words = vec!["one", "three", "fifteen"];
    /// words.retain(|word| cx.run(|| word.len() > 3));
    /// words.sort_by(|a, b| cx.run(|| b.len().cmp(&a.len())));
    /// assert_eq!(words, ["fifteen", "three"]);
    /// ```
    ///
    /// The values that such a closure captured are dropped where the closure is. For a drop inside, bind the closure, and use
    /// [`run_ref`](crate::WithContext::run_ref):
    ///
    /// ```
    /// use ctxhop::Propagate;
    /// use std::{cmp::Ordering, collections::HashMap};
    ///
    /// let ranks = HashMap::from([("low", 1), ("high", 2)]).with_current_context();
    /// let compare: Box<dyn Fn(&str, &str) -> Ordering> = Box::new(move |a, b| ranks.run_ref(|ranks| ranks[a].cmp(&ranks[b])));
    /// assert_eq!(compare("low", "high"), Ordering::Less);
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    ///
    /// let handler = Context::new().with_value(2).wrap_fn(|n: i32| Context::current().get::<i32>().map(|cx| cx * n));
    /// assert_eq!((handler(3), handler(4)), (Some(6), Some(8)));
    /// ```
    #[must_use = "the closure does nothing unless called"]
    #[track_caller]
    fn wrap_fn<F, A, R>(self, f: F) -> impl Fn(A) -> R
    where
        F: Fn(A) -> R,
    {
        let f = Carried::new("wrap_fn", f, self);
        move |arg| f.run_ref(|f| f(arg))
    }

    /// Wraps a closure of one argument that may be called many times and changes what it captured.
    ///
    /// Use it for what a library calls on threads of its own, such as the visitors of a parallel walk through a directory: capture
    /// where the library is called, and wrap each visitor.
    ///
    /// Like [`wrap_fn`](Self::wrap_fn) for [`FnMut`]. Its docs say what to write for other closures, and where the compiler
    /// asks for the argument's type.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::Snapshot;
    /// use opentelemetry::Context;
    ///
    /// let mut seen = Vec::new();
    /// let mut visit = Context::new().with_value("cx").wrap_mut(|n| seen.push((n, Context::current().get::<&str>().copied())));
    /// visit(1);
    /// visit(2);
    /// drop(visit);
    /// assert_eq!(seen, [(1, Some("cx")), (2, Some("cx"))]);
    /// ```
    #[must_use = "the closure does nothing unless called"]
    #[track_caller]
    fn wrap_mut<F, A, R>(self, f: F) -> impl FnMut(A) -> R
    where
        F: FnMut(A) -> R,
    {
        let mut f = Carried::new("wrap_mut", f, self);
        move |arg| f.run_mut(|f| f(arg))
    }
}

/// Wraps a closure that runs once, to run in the context that is current now: [`Context::capture`]`().wrap(f)`.
///
/// Use it for thread pools and schedulers that this crate has no module for. Everything that
/// [`Snapshot::wrap`] guarantees holds.
///
/// [`Context::capture`]: Snapshot::capture
///
/// # Examples
///
/// ```
/// use opentelemetry::Context;
///
/// let _guard = Context::current_with_value("here").attach();
/// let job = ctxhop::wrap(|| Context::current().get::<&str>().copied());
/// assert_eq!(std::thread::spawn(job).join().unwrap(), Some("here"));
/// ```
#[must_use = "the closure does nothing unless called"]
#[track_caller]
pub fn wrap<F, R>(f: F) -> impl FnOnce() -> R
where
    F: FnOnce() -> R,
{
    Context::capture().wrap(f)
}
