//! The wrapper itself: access, formatting, auto traits, and whose location its panics name.

mod support;

use std::{
    cell::Cell, cmp::Ordering, collections::HashSet, hash::Hash, marker::PhantomPinned, pin::Pin, rc::Rc,
    sync::MutexGuard,
};

use ctxhop::{RunAsync, WithContext, executor::Propagating, prelude::*};
use futures::executor::block_on;
use opentelemetry::Context;
use static_assertions::{assert_impl_all, assert_not_impl_any};
use support::{Case, Fate, Submitted, assert_stranger, catch, stranger, tag, tagged};

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
