//! A value and the snapshot that it runs in. All that this crate wraps is one of these, so the two rules are kept here:
//! whatever the value does, the snapshot is attached around it; and so it is when the value is dropped.

use std::{
    mem::{self, needs_drop},
    pin::Pin,
    task::{self, Poll},
};

use pin_project_lite::pin_project;

use super::Snapshot;
#[cfg(feature = "rayon")]
use crate::trail::Border;
use crate::trail::Hop;

/// A snapshot that is on a hop, until it is let go.
#[derive(Clone)]
pub(crate) struct OnHop<S> {
    snapshot: S,
    hop: Hop,
}

impl<S: Snapshot> OnHop<S> {
    /// `hop`: what the caller calls it.
    #[inline]
    #[track_caller]
    pub(crate) fn new(hop: &'static str, snapshot: S) -> Self {
        let hop = Hop::new(hop, || snapshot.opentelemetry());
        Self { snapshot, hop }
    }

    /// Binds one more value on the same hop, or another one in place of the first.
    #[inline]
    pub(crate) const fn carry<T>(self, value: T) -> Carried<T, S> {
        Carried { value: Some(value), snapshot: Some(self) }
    }

    #[cfg(feature = "rayon")]
    pub(crate) const fn snapshot(&self) -> &S {
        &self.snapshot
    }

    #[cfg(feature = "rayon")]
    #[inline]
    pub(crate) fn enter(&self) -> Border {
        self.hop.enter()
    }

    #[inline]
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _border = self.hop.enter();
        self.snapshot.run(f)
    }

    #[inline]
    pub(crate) fn run_once<R>(self, f: impl FnOnce() -> R) -> R {
        let _border = self.hop.enter();
        self.snapshot.run_once(f)
    }
}

pin_project! {
    #[project = Projected]
    #[derive(Clone)]
    pub(crate) struct Carried<T, S>
    where
        S: Snapshot,
    {
        // `None` once a future is ready, or `self` is taken apart.
        #[pin]
        value: Option<T>,
        // `None` together with the value.
        snapshot: Option<OnHop<S>>,
    }

    impl<T, S> PinnedDrop for Carried<T, S>
    where
        S: Snapshot,
    {
        fn drop(this: Pin<&mut Self>) {
            // Nothing looks at the context: it is not worth attaching.
            if !needs_drop::<T>() {
                return;
            }
            let mut this = this.project();
            if let Some(snapshot) = this.snapshot.take() {
                snapshot.run_once(|| this.value.set(None));
            }
        }
    }
}

const GONE: &str = "`WithContext` is empty: its future is ready";

impl<T, S: Snapshot> Carried<T, S> {
    /// `hop`: what the caller calls it.
    #[inline]
    #[track_caller]
    pub(crate) fn new(hop: &'static str, value: T, snapshot: S) -> Self {
        OnHop::new(hop, snapshot).carry(value)
    }

    pub(crate) const fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub(crate) const fn snapshot(&self) -> Option<&S> {
        match &self.snapshot {
            Some(on_hop) => Some(&on_hop.snapshot),
            None => None,
        }
    }

    #[track_caller]
    pub(crate) fn get(&self) -> &T {
        self.value.as_ref().expect(GONE)
    }

    #[track_caller]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(GONE)
    }

    #[track_caller]
    pub(crate) fn get_pin_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.project().value.as_pin_mut().expect(GONE)
    }

    #[track_caller]
    pub(crate) fn get_snapshot(&self) -> &S {
        self.snapshot().expect(GONE)
    }

    #[cfg(feature = "tokio")]
    pub(crate) const fn replace_hop(&mut self, on_hop: OnHop<S>) -> Option<OnHop<S>> {
        self.snapshot.replace(on_hop)
    }

    #[track_caller]
    pub(crate) fn into_value(mut self) -> T {
        // First, because a value that is gone is not worth attaching for.
        self.snapshot = None;
        self.value.take().expect(GONE)
    }

    #[track_caller]
    pub(crate) fn into_parts(self) -> (T, S) {
        let (value, on_hop) = self.into_hop();
        (value, on_hop.snapshot)
    }

    #[track_caller]
    pub(crate) fn into_hop(mut self) -> (T, OnHop<S>) {
        let on_hop = self.snapshot.take().expect(GONE);
        (self.value.take().expect(GONE), on_hop)
    }

    /// In the order in which a pattern that binds both drops the value first.
    #[track_caller]
    pub(crate) fn enter(mut self) -> (S::Guard, T) {
        let guard = self.snapshot.take().expect(GONE).snapshot.attach();
        (guard, self.value.take().expect(GONE))
    }

    /// Always inlined, as `WithContext::run` is: a call takes half as long as all that it does.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn run<R>(mut self, f: impl FnOnce(T) -> R) -> R {
        let on_hop = self.snapshot.take().expect(GONE);
        on_hop.run_once(|| f(self.value.take().expect(GONE)))
    }

    #[inline]
    #[track_caller]
    pub(crate) fn run_ref<'a, R>(&'a self, f: impl FnOnce(&'a T) -> R) -> R {
        inside(&self.snapshot, self.value.as_ref(), f)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn run_mut<'a, R>(&'a mut self, f: impl FnOnce(&'a mut T) -> R) -> R {
        inside(&self.snapshot, self.value.as_mut(), f)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn run_pin_mut<'a, R>(self: Pin<&'a mut Self>, f: impl FnOnce(Pin<&'a mut T>) -> R) -> R {
        let this = self.project();
        inside(this.snapshot, this.value.as_pin_mut(), f)
    }
}

/// How a value is driven, by whatever reference there is to it.
#[inline]
#[track_caller]
fn inside<V, S: Snapshot, R>(snapshot: &Option<OnHop<S>>, value: Option<V>, f: impl FnOnce(V) -> R) -> R {
    let value = value.expect(GONE);
    snapshot.as_ref().expect(GONE).run(|| f(value))
}

impl<F: Future, S: Snapshot> Carried<F, S> {
    /// Drops the future inside as soon as it is ready: it may still hold unfinished work (`Timeout`, `Select`, `Abortable`).
    #[inline]
    #[track_caller]
    pub(crate) fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let Projected { value, snapshot } = self.project();
        let mut polling = Polling { future: value, snapshot };
        let poll = polling.snapshot.as_ref().expect("a future was polled after completion").run(|| {
            let poll = polling.future.as_mut().as_pin_mut().expect("there as long as the snapshot").poll(task);
            if poll.is_ready() {
                polling.future.set(None);
            }
            poll
        });
        if poll.is_ready() {
            *polling.snapshot = None;
        }
        // Its drop is for a panic alone, so that a poll does not pay for it.
        mem::forget(polling);
        poll
    }
}

/// Dropped where a poll panics: if the future is gone, it was its destructor that panicked, and the snapshot has to go too.
struct Polling<'a, F, S> {
    future: Pin<&'a mut Option<F>>,
    snapshot: &'a mut Option<OnHop<S>>,
}

impl<F, S> Drop for Polling<'_, F, S> {
    #[cold]
    fn drop(&mut self) {
        if self.future.is_none() {
            *self.snapshot = None;
        }
    }
}
