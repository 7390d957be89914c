//! The wrapper itself: access, formatting, auto traits, and whose location its panics name.

mod support;

use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    collections::HashSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher},
    io,
    marker::PhantomPinned,
    pin::{Pin, pin},
    rc::Rc,
    sync::MutexGuard,
    task,
};

use ctxhop::{RunAsync, WithContext, executor::Propagating, prelude::*};
use futures::{Stream, executor::block_on, future::FusedFuture, stream::FusedStream};
use hyper::body::{Body, Frame, SizeHint};
use opentelemetry::Context;
use static_assertions::{assert_impl_all, assert_not_impl_any};
use support::{Case, Event, Fate, Submitted, assert_stranger, catch, stranger, tag, tagged};

/// A snapshot that must stay on its thread.
#[derive(Clone)]
struct Local(Rc<()>);

impl Snapshot for Local {
    type Guard = Rc<()>;

    fn capture() -> Self {
        Local(Rc::default())
    }

    fn attach(self) -> Rc<()> {
        self.0
    }
}

// `Send`, `Sync` and `Unpin` follow both type parameters.
assert_impl_all!(WithContext<u32>: Send, Sync, Unpin, Clone);
assert_impl_all!(WithContext<Cell<u32>>: Send, Unpin);
assert_not_impl_any!(WithContext<Cell<u32>>: Sync);
assert_impl_all!(WithContext<MutexGuard<'static, u32>>: Sync, Unpin);
assert_not_impl_any!(WithContext<MutexGuard<'static, u32>>: Send, Clone);
assert_not_impl_any!(WithContext<Rc<u32>>: Send, Sync);
assert_impl_all!(WithContext<PhantomPinned>: Send, Sync);
assert_not_impl_any!(WithContext<PhantomPinned>: Unpin);
assert_impl_all!(WithContext<u32, (Context, Context)>: Send, Sync, Unpin, Clone);
assert_not_impl_any!(WithContext<u32, Local>: Send, Sync);
assert_impl_all!(WithContext<u32, Local>: Unpin, Clone);
assert_not_impl_any!(<Context as Snapshot>::Guard: Send, Sync);
assert_not_impl_any!(<(Context, Context) as Snapshot>::Guard: Send, Sync);
assert_impl_all!(RunAsync<fn(), u32, Context>: Send, Sync, Unpin);
assert_not_impl_any!(RunAsync<Rc<u32>, u32, Context>: Send);
assert_not_impl_any!(RunAsync<u32, Rc<u32>, Context>: Send);
assert_not_impl_any!(RunAsync<u32, u32, Local>: Send);
assert_not_impl_any!(RunAsync<u32, PhantomPinned, Context>: Unpin);
// What the executor captures is made on the submitting thread, so only the executor itself counts.
assert_impl_all!(Propagating<u32, Local>: Send, Sync, Unpin, Clone);
assert_not_impl_any!(Propagating<Rc<u32>>: Send, Sync);

#[test]
fn wrapped_closures_and_sends_are_send_and_sync_as_what_they_wrap() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>(_: &T) {}
    let cx = Context::new();
    is_send(&cx.clone().wrap(|| ()));
    is_send(&cx.clone().wrap_mut(|()| ()));
    let shared = cx.wrap_fn(|()| ());
    is_send(&shared);
    is_sync(&shared);
    is_send(&ctxhop::wrap(|| ()));
    let (tx, _rx) = tokio::sync::mpsc::channel(1);
    is_send(&tx.send_with_current_context(1));
    is_send(&1.with_current_context().run_async(std::future::ready));
    is_send(&Context::new().run_async(|| std::future::ready(1)));
    // Also where only the bounds are known.
    fn generic<S: Snapshot + Send, F: Future + Send>(context: S, f: impl FnOnce() -> F + Send) -> impl Future + Send {
        context.run_async(f)
    }
    fn generic_message<S: Snapshot + Send, F: Future + Send>(
        message: WithContext<u32, S>,
        f: impl FnOnce(u32) -> F + Send,
    ) -> impl Future + Send {
        message.run_async(f)
    }
    is_send(&generic(Context::new(), || std::future::ready(1)));
    is_send(&generic_message(1.with_current_context(), std::future::ready));
}

#[test]
fn gives_access_to_both_parts() {
    let mut bound = vec![1].with_context(tagged("cx"));
    bound.inner_mut().push(2);
    assert_eq!(bound.inner(), &[1, 2]);
    assert_eq!(bound.context().run(tag), Some("cx"));
    assert_eq!(bound.run_ref(|inner| (inner.len(), tag())), (2, Some("cx")));
    Pin::new(&mut bound).inner_pin_mut().push(3);

    let (inner, cx) = bound.clone().into_parts();
    assert_eq!((inner, cx.run(tag)), (vec![1, 2, 3], Some("cx")));
    assert_eq!(bound.map_inner(|inner| (inner.len(), tag())).into_inner(), (3, Some("cx")));
}

#[test]
fn into_inner_lets_the_context_go() {
    let case = Case::new("into_inner", Submitted::Set, Fate::Completes);
    let bound = case.submit(|| 1.with_current_context());
    assert_eq!(bound.into_inner(), 1);
    case.assert_released();
}

#[test]
fn a_clone_of_a_message_has_the_same_context() {
    let message = "m".with_context(tagged("cx"));
    let seen = [message.clone(), message].map(|message| message.run(|m| (m, tag())));
    assert_eq!(seen, [("m", Some("cx")); 2]);
}

#[test]
fn detached_sees_nothing_and_holds_nothing() {
    let case = Case::new("detached", Submitted::Set, Fate::Completes);
    let worker = case.submit(|| async { tag() }.detached());
    case.assert_released();
    let _guard = stranger().attach();
    assert_eq!(block_on(worker), None);
}

#[test]
fn formats_as_its_parts() {
    let mut bound = std::future::ready(1).with_context(Context::new());
    assert_eq!(
        format!("{bound:?}"),
        format!("WithContext {{ inner: Some(Ready(Some(1))), context: Some({:?}) }}", Context::new())
    );
    block_on(&mut bound);
    assert_eq!(format!("{bound:?}"), "WithContext { inner: None, context: None }");
}

#[test]
#[should_panic(expected = "`WithContext` is empty: its future is ready")]
fn the_context_of_a_done_future_is_gone() {
    let mut bound = std::future::ready(1).with_current_context();
    block_on(&mut bound);
    bound.context();
}

#[test]
#[should_panic(expected = "`WithContext` is empty: its future is ready")]
fn a_done_future_is_gone() {
    let mut bound = std::future::ready(1).with_current_context();
    block_on(&mut bound);
    drop(bound.into_inner());
}

#[test]
fn is_changed_in_its_context() {
    let _guard = stranger().attach();
    let mut seen = Vec::new().with_context(tagged("in"));
    seen.run_mut(|seen| seen.push(tag()));
    Pin::new(&mut seen).run_pin_mut(|mut seen| seen.push(tag()));
    // What `f` returns may borrow from the value.
    let last: &mut Option<&str> = seen.run_mut(|seen| seen.last_mut().unwrap());
    *last = None;
    let first: &Option<&str> = seen.run_ref(|seen| &seen[0]);
    assert_eq!(*first, Some("in"));
    assert_eq!(seen.into_inner(), [Some("in"), None]);
    assert_stranger("run_mut, run_pin_mut");
}

#[test]
fn an_entered_message_is_dropped_inside() {
    let _guard = stranger().attach();
    let work = |case: &Case| -> Result<(), &'static str> {
        let messages = case.submit(|| [case.probe().with_current_context()]);
        for message in messages {
            let (_guard, probe) = message.enter();
            probe.saw("loop");
            match case.fate {
                Fate::Errors => Err("no")?,
                Fate::Panics => std::panic::panic_any("job's own panic"),
                _ => continue,
            }
        }
        Ok(())
    };
    for fate in [Fate::Completes, Fate::Errors, Fate::Panics] {
        let case = Case::new("enter", Submitted::Set, fate);
        case.assert_ended(catch(|| work(&case).map(|()| 7)));
        case.assert_saw(&["loop"]);
        case.assert_released();
        assert_stranger(&case.name);
    }
}

#[test]
fn compares_and_hashes_as_its_value() {
    let bound = |n: u32, tag| n.with_context(tagged(tag));
    assert_eq!(bound(1, "a"), bound(1, "b"));
    assert_ne!(bound(1, "a"), bound(2, "a"));
    assert!(bound(1, "b") < bound(2, "a"));
    assert_eq!(bound(2, "a").cmp(&bound(1, "b")), Ordering::Greater);
    assert_eq!(f32::NAN.with_current_context().partial_cmp(&1.0.with_current_context()), None);
    assert_eq!(HashSet::from([bound(1, "a"), bound(1, "b"), bound(2, "a")]).len(), 2);
    assert_impl_all!(WithContext<u32>: Ord, Hash);
    assert_impl_all!(WithContext<f32>: PartialOrd);
    assert_not_impl_any!(WithContext<f32>: Eq, Hash);
}

/// Notes its calls, and the context of each.
#[derive(Default)]
struct Telling(Rc<RefCell<Vec<Event>>>);

impl Telling {
    fn told<R>(&self, call: &'static str, result: R) -> R {
        self.0.borrow_mut().push((call, tag()));
        result
    }
}

impl Clone for Telling {
    fn clone(&self) -> Self {
        self.told("clone", Telling(Rc::clone(&self.0)))
    }
}

impl PartialEq for Telling {
    fn eq(&self, _: &Self) -> bool {
        self.told("eq", true)
    }
}

impl Eq for Telling {}

#[expect(clippy::non_canonical_partial_ord_impl, reason = "it tells which of the two is called")]
impl PartialOrd for Telling {
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        self.told("partial_cmp", None)
    }
}

impl Ord for Telling {
    fn cmp(&self, _: &Self) -> Ordering {
        self.told("cmp", Ordering::Less)
    }
}

impl Hash for Telling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.told("hash", ());
        state.write_u8(1);
    }
}

impl Iterator for Telling {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        self.told("next", None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.told("Iterator::size_hint", (3, None))
    }
}

impl ExactSizeIterator for Telling {
    fn len(&self) -> usize {
        self.told("len", 3)
    }
}

impl Future for Telling {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<()> {
        self.told("poll", task::Poll::Pending)
    }
}

impl FusedFuture for Telling {
    fn is_terminated(&self) -> bool {
        self.told("FusedFuture::is_terminated", true)
    }
}

impl Stream for Telling {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<Option<()>> {
        self.told("poll_next", task::Poll::Ready(None))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.told("Stream::size_hint", (2, None))
    }
}

impl FusedStream for Telling {
    fn is_terminated(&self) -> bool {
        self.told("FusedStream::is_terminated", true)
    }
}

impl Body for Telling {
    type Data = &'static [u8];
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.told("poll_frame", task::Poll::Ready(None))
    }

    fn is_end_stream(&self) -> bool {
        self.told("is_end_stream", true)
    }

    fn size_hint(&self) -> SizeHint {
        self.told("Body::size_hint", SizeHint::with_exact(5))
    }
}

impl tokio::io::AsyncWrite for Telling {
    fn poll_write(self: Pin<&mut Self>, _: &mut task::Context<'_>, bytes: &[u8]) -> task::Poll<io::Result<usize>> {
        self.told("poll_write", task::Poll::Ready(Ok(bytes.len())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        self.told("poll_flush", task::Poll::Ready(Ok(())))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        self.told("poll_shutdown", task::Poll::Ready(Ok(())))
    }

    fn is_write_vectored(&self) -> bool {
        self.told("is_write_vectored", true)
    }
}

/// What a value only tells is the value's own, and asked for in the context of whoever asks.
#[test]
fn what_only_tells_something_runs_in_the_callers_context() {
    let _guard = stranger().attach();
    let bound = Telling::default().with_context(tagged("cx"));
    let calls = Rc::clone(&bound.inner().0);
    #[track_caller]
    fn row<R: PartialEq + std::fmt::Debug>(calls: &RefCell<Vec<Event>>, call: &'static str, told: R, expected: R) {
        assert_eq!((told, calls.take()), (expected, vec![(call, Some("stranger"))]), "{call}");
    }

    let hash_of_one = BuildHasherDefault::<DefaultHasher>::default().hash_one(1_u8);

    let mut other = bound.clone();
    row(&calls, "clone", (), ());
    row(&calls, "eq", bound == other, true);
    row(&calls, "partial_cmp", PartialOrd::partial_cmp(&bound, &other), None);
    row(&calls, "cmp", Ord::cmp(&bound, &other), Ordering::Less);
    row(&calls, "hash", BuildHasherDefault::<DefaultHasher>::default().hash_one(&bound), hash_of_one);
    row(&calls, "Iterator::size_hint", Iterator::size_hint(&bound), (3, None));
    row(&calls, "len", ExactSizeIterator::len(&bound), 3);
    row(&calls, "FusedFuture::is_terminated", FusedFuture::is_terminated(&bound), true);
    row(&calls, "Stream::size_hint", Stream::size_hint(&bound), (2, None));
    row(&calls, "FusedStream::is_terminated", FusedStream::is_terminated(&bound), true);
    row(&calls, "Body::size_hint", Body::size_hint(&bound).exact(), Some(5));
    row(&calls, "is_end_stream", Body::is_end_stream(&bound), true);
    row(&calls, "is_write_vectored", tokio::io::AsyncWrite::is_write_vectored(&bound), true);
    // And what is done with it by hand.
    let _copy = bound.inner().clone();
    row(&calls, "clone", (), ());
    row(&calls, "next", Iterator::next(other.inner_mut()), None);
    row(
        &calls,
        "poll_next",
        pin!(other).inner_pin_mut().poll_next(&mut task::Context::from_waker(task::Waker::noop())),
        task::Poll::Ready(None),
    );
}
