//! Scopes and wrapped closures.

mod support;

use std::{
    cell::RefCell,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
};

use ctxhop::{prelude::*, tracing::TracingSnapshot};
use opentelemetry::Context;
use support::{Case, Ended, Fate, Submitted, catch, check_closure, tag, tagged};
use tracing::Span;

const FATES: [Fate; 4] = [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted];

#[test]
fn matrix() {
    check_closure("wrap", &FATES, |case, job| {
        let job = case.submit(|| Context::capture().wrap(job));
        if case.fate == Fate::Unstarted { Ended::Gone } else { catch(job) }
    });
    check_closure("ctxhop::wrap", &FATES, |case, job| {
        let job = case.submit(|| ctxhop::wrap(job));
        if case.fate == Fate::Unstarted { Ended::Gone } else { catch(job) }
    });
    check_closure("message of a closure", &FATES, |case, job| {
        let job = case.submit(|| job.with_current_context());
        if case.fate == Fate::Unstarted { Ended::Gone } else { catch(|| job.run(|job| job())) }
    });
    check_closure("map_inner", &FATES, |case, job| {
        let job = case.submit(|| job.with_current_context());
        if case.fate == Fate::Unstarted { Ended::Gone } else { catch(|| job.map_inner(|job| job()).into_inner()) }
    });
    check_closure("wrap_mut", &FATES, |case, job| {
        let mut job = Some(job);
        let mut job = case.submit(|| Context::capture().wrap_mut(move |()| job.take().expect("once")()));
        if case.fate == Fate::Unstarted { Ended::Gone } else { catch(|| job(())) }
    });
    check_closure("wrap_fn", &FATES, |case, job| {
        let job = RefCell::new(Some(job));
        let job = case.submit(|| Context::capture().wrap_fn(move |()| job.take().expect("once")()));
        if case.fate == Fate::Unstarted { Ended::Gone } else { catch(|| job(())) }
    });
    check_closure("run", &FATES[..3], |case, job| {
        // Not a hop, but what hops are made of.
        let cx = case.submit(Context::capture);
        catch(|| cx.run(job))
    });
}

#[test]
fn a_closure_called_twice_sees_its_context_twice() {
    let seen = tagged("in").wrap_fn(|n: u32| (n, tag()));
    let mut calls = 0;
    let mut counted = tagged("in").wrap_mut(|()| {
        calls += 1;
        (calls, tag())
    });
    let _guard = tagged("caller").attach();
    assert_eq!([seen(1), seen(2)], [(1, Some("in")), (2, Some("in"))]);
    assert_eq!([counted(()), counted(())], [(1, Some("in")), (2, Some("in"))]);
    assert_eq!(tag(), Some("caller"));
}

#[test]
fn a_closure_that_panicked_can_be_called_again() {
    let picky = tagged("in").wrap_fn(|n: u32| {
        assert_ne!(n, 13);
        tag()
    });
    assert!(catch_unwind(AssertUnwindSafe(|| picky(13))).is_err());
    assert_eq!(tag(), None);
    assert_eq!(picky(14), Some("in"));
}

#[test]
fn an_empty_context_hides_and_gives_back() {
    let _guard = tagged("outer").attach();
    Context::new().run(|| assert_eq!(tag(), None));
    assert_eq!(tag(), Some("outer"));
}

#[test]
fn attached_inside_itself_the_inner_end_changes_nothing() {
    let cx = tagged("same");
    cx.run(|| {
        cx.run(|| assert_eq!(tag(), Some("same")));
        assert_eq!(tag(), Some("same"));
    });
    assert_eq!(tag(), None);
}

#[test]
fn guards_dropped_out_of_order() {
    let outer = Snapshot::attach(tagged("outer"));
    let inner = Snapshot::attach(tagged("inner"));
    drop(outer);
    assert_eq!(tag(), Some("inner"));
    drop(inner);
    assert_eq!(tag(), None);
}

#[test]
fn a_value_of_a_context_may_look_at_the_context_when_it_is_dropped() {
    struct Looks(mpsc::Sender<Option<&'static str>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.send(tag()).expect("the test waits");
        }
    }
    let (tx, rx) = mpsc::channel();
    let _guard = tagged("outside").attach();
    Context::new().with_value(Looks(tx)).wrap(|| ())();
    assert_eq!(rx.recv(), Ok(Some("outside")), "it is let go after it was detached");
}

// ---- Inside a borrow of the current context --------------------------------------------------------------------------

/// A sampler, a propagator and whoever calls `map_current` may use what attaches nothing.
#[test]
fn what_attaches_nothing_works_inside_a_borrow() {
    fn use_all() {
        let (tx, rx) = mpsc::channel();
        let (closed, _) = mpsc::channel();
        let carried = Context::map_current(|_| {
            let cx = Context::capture();
            assert!(cx.to_link().is_none());
            drop(cx.parent_only());
            let bound = vec![1].with_current_context();
            let copy = bound.clone();
            assert_eq!(bound, copy);
            assert_eq!((bound.into_inner(), copy.into_parts().0), (vec![1], vec![1]));
            // Nothing in it looks at a context when it is dropped.
            drop(7.with_current::<(Context, Context)>());
            tx.send_with_current_context(vec![2]).unwrap();
            assert_eq!(rx.recv().unwrap().into_inner(), [2]);
            assert_eq!(closed.send_with_current_context(vec![3]).unwrap_err().0, [3]);
            let kept = vec![4];
            (
                cx.clone().wrap(move || kept),
                vec![5].detached(),
                async {}.with_context(cx.clone()),
                cx.run_async(async || ()),
            )
        });
        assert_eq!((carried.0)(), [4]);
    }
    use_all();
    // On a thread that this crate has not been used on.
    std::thread::spawn(use_all).join().unwrap();
}

#[test]
fn what_attaches_panics_inside_a_borrow_and_leaves_the_thread_as_it_was() {
    let cx = tagged("in");
    for attach in [|cx: &Context| cx.run(|| ()), |cx: &Context| drop(Snapshot::attach(cx.clone()))] {
        let caught = catch_unwind(AssertUnwindSafe(|| Context::map_current(|_| attach(&cx))));
        assert!(caught.is_err());
        assert_eq!(tag(), None);
        assert_eq!(cx.run(tag), Some("in"));
    }
}

// ---- A thread-local of the user's own, and tuples --------------------------------------------------------------------

thread_local!(static TRAIL: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) });

/// Leaves a trail of its attaching and detaching.
#[derive(Clone, Debug, PartialEq)]
struct Trail<const N: usize>;

struct OnDrop<const N: usize>(PhantomData<*const ()>);

impl<const N: usize> Snapshot for Trail<N> {
    type Guard = OnDrop<N>;

    fn capture() -> Self {
        Trail
    }

    fn attach(self) -> OnDrop<N> {
        TRAIL.with_borrow_mut(|trail| trail.push(["+0", "+1", "+2", "+3"][N]));
        OnDrop(PhantomData)
    }
}

impl<const N: usize> Drop for OnDrop<N> {
    fn drop(&mut self) {
        TRAIL.with_borrow_mut(|trail| trail.push(["-0", "-1", "-2", "-3"][N]));
    }
}

#[test]
fn tuples_attach_left_to_right_and_detach_right_to_left() {
    fn trail<S: Snapshot>() -> Vec<&'static str> {
        S::capture().run(|| TRAIL.with_borrow_mut(|trail| trail.push("run")));
        TRAIL.take()
    }
    assert_eq!(trail::<(Trail<0>,)>(), ["+0", "run", "-0"]);
    assert_eq!(trail::<(Trail<0>, Trail<1>)>(), ["+0", "+1", "run", "-1", "-0"]);
    assert_eq!(trail::<(Trail<0>, Trail<1>, Trail<2>)>(), ["+0", "+1", "+2", "run", "-2", "-1", "-0"]);
    assert_eq!(
        trail::<(Trail<0>, Trail<1>, Trail<2>, Trail<3>)>(),
        ["+0", "+1", "+2", "+3", "run", "-3", "-2", "-1", "-0"]
    );
}

#[test]
fn tuples_detach_when_the_work_panics() {
    let result = catch_unwind(|| <(Trail<0>, Context)>::capture().run(|| panic!("no")));
    assert!(result.is_err());
    assert_eq!(TRAIL.take(), ["+0", "-0"]);
}

#[test]
fn a_users_snapshot_travels_with_the_context() {
    let cx = tagged("both");
    let job = cx.run(|| (|| (tag(), TRAIL.take())).with_current::<(Context, Trail<2>)>());
    let seen = std::thread::spawn(|| job.run(|job| job())).join().unwrap();
    assert_eq!(seen, (Some("both"), vec!["+2"]));
}

/// Strict mode asks for it.
#[test]
fn a_snapshot_tells_its_opentelemetry_context() {
    fn of(snapshot: &impl Snapshot) -> Option<Option<&'static str>> {
        snapshot.opentelemetry().map(|cx| cx.run(tag))
    }
    assert_eq!(of(&Trail::<1>), None);
    assert_eq!(of(&tagged("cx")), Some(Some("cx")));
    assert_eq!(of(&(Trail::<1>, tagged("first"), tagged("second"))), Some(Some("first")));
    assert_eq!(of(&TracingSnapshot::new(Span::none(), tagged("cx"))), Some(Some("cx")));
}

// ---- More contexts than OpenTelemetry has room for -------------------------------------------------------------------

/// Past OpenTelemetry's limit of 65,534.
const DEEP: u32 = 70_000;

/// On a thread of its own, with stack for a deep recursion.
fn on_a_big_stack(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 30).spawn(f).unwrap().join().unwrap();
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Level(u32);

fn level() -> Option<Level> {
    Context::map_current(|cx| cx.get::<Level>().copied())
}

fn at_level(n: u32) -> Context {
    Context::new().with_value(Level(n))
}

#[test]
fn nested_runs_see_their_own_context_however_deep() {
    fn nest(n: u32) {
        at_level(n).run(|| {
            assert_eq!(level(), Some(Level(n)), "on the way in");
            if n < DEEP {
                nest(n + 1);
            }
            assert_eq!(level(), Some(Level(n)), "on the way out");
        });
    }
    on_a_big_stack(|| {
        nest(1);
        assert_eq!(level(), None);
        // And once more, with the stack as it was left.
        nest(DEEP - 10);
        assert_eq!(level(), None);
    });
}

#[test]
fn guards_see_their_own_context_however_many() {
    on_a_big_stack(|| {
        let mut guards = Vec::new();
        for n in 1..=DEEP {
            guards.push(Snapshot::attach(at_level(n)));
            assert_eq!(level(), Some(Level(n)), "on the way in");
        }
        // Out of order: before the limit, at it and beyond.
        let early = [65_540, 65_533, 65_535, 65_534];
        let mut guards: Vec<_> = (1..=DEEP).zip(guards.into_iter().map(Some)).collect();
        for n in early {
            guards[n as usize - 1].1.take();
            assert_eq!(level(), Some(Level(DEEP)), "a guard that is dropped early changes nothing");
        }
        guards.retain(|(_, guard)| guard.is_some());
        while let Some((n, guard)) = guards.pop() {
            assert_eq!(level(), Some(Level(n)), "on the way out");
            drop(guard);
        }
        assert_eq!(level(), None);
    });
}

#[test]
fn places_that_become_free_below_change_nothing() {
    on_a_big_stack(|| {
        // The last of them is beyond OpenTelemetry's limit.
        let mut guards: Vec<_> = (1..=65_536).map(|n| Some(Snapshot::attach(at_level(n)))).collect();
        guards[65_525..65_534].fill_with(|| None);
        // What is innermost now is attached again, and there is room above it.
        guards.pop();
        guards.extend((65_536..65_560).map(|n| Some(Snapshot::attach(at_level(n)))));
        let mut rest: Vec<_> = guards.into_iter().zip(1..).filter(|(guard, _)| guard.is_some()).collect();
        while let Some((guard, n)) = rest.pop() {
            assert_eq!(level(), Some(Level(n)));
            drop(guard);
        }
        assert_eq!(level(), None);
    });
}

#[test]
fn futures_and_messages_see_their_own_context_however_deep() {
    on_a_big_stack(|| {
        let case = Case::new("deep", Submitted::Set, Fate::Completes);
        let _others: Vec<_> = (0..65_530).map(|n| at_level(n).attach()).collect();
        let _ours: Vec<_> = (0..10).map(|n| Snapshot::attach(at_level(n))).collect();
        let probe = case.probe();
        let future = case.submit(|| async move { probe.saw("poll") }.with_current_context());
        futures::executor::block_on(future);
        case.assert_saw(&["poll"]);
        case.assert_released();
        assert_eq!(level(), Some(Level(9)));
        7.with_context(tagged("message")).run(|_| assert_eq!(tag(), Some("message")));
        assert_eq!(level(), Some(Level(9)));
    });
}

#[test]
fn where_others_fill_the_stack_the_work_still_runs() {
    on_a_big_stack(|| {
        let others: Vec<_> = (0..DEEP).map(|n| at_level(n).attach()).collect();
        assert_eq!(tagged("in").run(|| (7, level())), (7, Some(Level(65_533))), "in what has the last place");
        drop(others);
        assert_eq!(tagged("in").run(tag), Some("in"), "and once there is room, in its context");
        assert_eq!(level(), None);
    });
}
