//! The laws of `Span`, `Dispatch` and `TracingSnapshot`, with tracing-opentelemetry. The hops are in `tracing_hops.rs`.

#[path = "support/tracing.rs"]
mod support;

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{self, Waker},
    thread,
};

use ctxhop::{
    Propagate, Snapshot,
    tracing::{Guard, TracingSnapshot},
};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use support::{Rig, Seen};
use tracing::{Dispatch, Span, Subscriber, dispatcher, info, info_span, span::Id};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    layer::{self, SubscriberExt},
    registry::LookupSpan,
};

assert_impl_all!(TracingSnapshot: Send, Sync, Unpin, Clone, std::fmt::Debug);
assert_not_impl_any!(Guard: Send, Sync);

/// Runs `test` with a subscriber of its own, so that tests run in parallel.
fn with_rig(test: impl FnOnce(&Rig)) {
    let rig = Rig::new();
    dispatcher::with_default(&rig.dispatch(), || test(&rig));
}

type Run = fn(&TracingSnapshot, &mut dyn FnMut());

/// Each way to run inside a snapshot: by reference, and by a guard.
const WAYS: [Run; 2] = [
    |snapshot, f| snapshot.run(f),
    |snapshot, f| {
        let _guard = snapshot.clone().attach();
        f();
    },
];

fn on_another_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::spawn(f).join().unwrap()
}

// ---- Inside, exactly this; outside, untouched ------------------------------------------------------------------------

#[test]
fn span_and_context_are_the_captured_ones() {
    with_rig(|_| {
        let (captured, stranger) = (info_span!("captured"), info_span!("stranger"));
        let snapshot = captured.in_scope(TracingSnapshot::capture);
        let nothing = TracingSnapshot::capture();
        for run in WAYS {
            for (snapshot, expected) in [(&snapshot, Seen::of(&captured)), (&nothing, Seen::NOTHING)] {
                let mut seen = Seen::NOTHING;
                run(snapshot, &mut || seen = Seen::now());
                assert_eq!(seen, expected, "where nothing is current");
                assert_eq!(Seen::now(), Seen::NOTHING, "afterwards");

                stranger.in_scope(|| {
                    run(snapshot, &mut || seen = Seen::now());
                    assert_eq!(seen, expected, "in a stranger's span");
                    assert_eq!(Seen::now(), Seen::of(&stranger), "afterwards");
                });

                captured.in_scope(|| {
                    run(snapshot, &mut || seen = Seen::now());
                    assert_eq!(seen, expected, "in the captured span");
                    stranger.in_scope(|| {
                        run(snapshot, &mut || seen = Seen::now());
                        assert_eq!(seen, expected, "in a stranger's span, in the captured one");
                        assert_eq!(Seen::now(), Seen::of(&stranger), "afterwards");
                    });
                    assert_eq!(Seen::now(), Seen::of(&captured), "afterwards");
                });
                assert_eq!(Seen::now(), Seen::NOTHING, "at the end");
            }
        }
    });
}

#[test]
fn children_have_their_parent_and_events_its_fields() {
    with_rig(|rig| {
        for run in WAYS {
            let snapshot = info_span!("request", id = 7)
                .in_scope(|| info_span!("order", apples = 2).in_scope(TracingSnapshot::capture));
            info_span!("stranger", id = 8).in_scope(|| run(&snapshot, &mut || rig.work()));
            TracingSnapshot::new(Span::none(), Context::new()).run(|| {
                info_span!("stranger", id = 9)
                    .in_scope(|| run(&TracingSnapshot::new(Span::none(), Context::new()), &mut || rig.work()))
            });
            drop(snapshot);

            assert_eq!(rig.log.take(), ["request id=7: order apples=2: inside", "inside"]);
            let tree = rig.recorder.tree();
            assert_eq!(
                tree.display().durations(false).to_string(),
                "\
by opentelemetry
by tracing
request
└─ order
   ├─ by opentelemetry
   └─ by tracing
stranger
stranger"
            );
            rig.recorder.clear();
        }
    });
}

/// What was attached by hand, within the span, is on top of what entering the span attaches.
#[test]
fn the_context_is_attached_after_the_span_and_detached_before_it() {
    /// Notes the value that the current context has when spans are entered and left.
    #[derive(Clone, Default)]
    struct Order(Arc<Mutex<Vec<Note>>>);

    type Note = (&'static str, Option<&'static str>);

    impl Order {
        fn note(&self, event: &'static str) {
            self.0.lock().unwrap().push((event, Context::current().get::<&str>().copied()));
        }
    }

    impl<S: Subscriber> Layer<S> for Order {
        fn on_enter(&self, _: &Id, _: layer::Context<'_, S>) {
            self.note("enter");
        }

        fn on_exit(&self, _: &Id, _: layer::Context<'_, S>) {
            self.note("exit");
        }
    }

    let rig = Rig::new();
    let order = Order::default();
    dispatcher::with_default(&rig.subscriber().with(order.clone()).into(), || {
        for run in WAYS {
            let span = info_span!("request");
            let snapshot = span.in_scope(|| {
                let by_hand = Context::current_with_value("by hand").with_span(rig.tracer().start("by hand"));
                TracingSnapshot::new(Span::current(), by_hand)
            });
            drop(span);
            order.0.lock().unwrap().clear();

            run(&snapshot, &mut || {
                order.note("inside");
                rig.work();
            });
            drop(snapshot);

            let noted = order.0.lock().unwrap().clone();
            // The three in the middle are of `work`'s own span.
            assert_eq!(noted.first(), Some(&("enter", None)));
            assert_eq!(noted[1], ("inside", Some("by hand")));
            assert_eq!(noted.last(), Some(&("exit", None)));
            assert_eq!(
                rig.recorder.tree().display().durations(false).to_string(),
                "request\n└─ by hand\n   ├─ by opentelemetry\n   └─ by tracing"
            );
            rig.recorder.clear();
        }
    });
}

#[test]
fn a_panic_leaves_the_thread_as_it_was() {
    with_rig(|_| {
        let snapshot = info_span!("captured").in_scope(TracingSnapshot::capture);
        let stranger = info_span!("stranger").entered();
        for run in WAYS {
            let panicked = catch_unwind(AssertUnwindSafe(|| run(&snapshot, &mut || std::panic::panic_any("own"))));
            assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"own"));
            assert_eq!(Seen::now(), Seen::of(&stranger));
        }
    });
}

#[test]
fn guards_may_be_dropped_in_any_order() {
    with_rig(|_| {
        let spans = ["a", "b", "c"].map(|name| info_span!("captured", name));
        let snapshots = spans.each_ref().map(|span| span.in_scope(TracingSnapshot::capture));
        let stranger = info_span!("stranger").entered();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut guards = snapshots.clone().map(|snapshot| Some(snapshot.attach()));
            for (dropped, at) in order.into_iter().enumerate() {
                guards[at] = None;
                let innermost = guards.iter().rposition(Option::is_some);
                let expected = innermost.map_or(Seen::of(&stranger), |at| Seen::of(&spans[at]));
                assert_eq!(Seen::now(), expected, "{order:?}, {dropped}");
            }
        }
        drop(stranger);
        assert_eq!(Seen::now(), Seen::NOTHING);
    });
}

/// It lies on a thread of its own, with which it goes.
#[test]
fn a_guard_that_is_forgotten_holds_those_around_it() {
    let rig = Rig::new();
    let dispatch = rig.dispatch();
    on_another_thread(move || {
        dispatcher::with_default(&dispatch, || {
            let [outer, inner] = ["outer", "inner"].map(|name| info_span!("captured", name));
            let guard = outer.in_scope(TracingSnapshot::capture).attach();
            std::mem::forget(inner.in_scope(TracingSnapshot::capture).attach());
            drop(guard);
            assert_eq!(Seen::now(), Seen::of(&inner));
        });
    });
    assert_eq!(rig.recorder.open_spans().len(), 2, "both are held");
}

/// The worst that a task can do to its thread: to keep a guard over an await.
#[test]
fn a_span_that_is_left_meanwhile_is_not_put_back() {
    with_rig(|_| {
        let outer = info_span!("outer").entered();
        for run in WAYS {
            let mut stranger = Some(info_span!("stranger").entered());
            run(&TracingSnapshot::new(Span::none(), Context::new()), &mut || drop(stranger.take()));
            assert_eq!(Seen::now(), Seen::of(&outer));
        }
    });
}

/// As a tuple of guards does, which drops them left to right; and a task that keeps a span entered over an await.
#[test]
fn a_span_that_is_left_meanwhile_but_lives_on_is_not_put_back() {
    with_rig(|_| {
        let (stranger, outer) = (info_span!("stranger"), info_span!("outer").entered());
        let snapshot = info_span!("captured").in_scope(TracingSnapshot::capture);
        for run in WAYS {
            let mut entered = Some(stranger.enter());
            run(&snapshot, &mut || drop(entered.take()));
            assert_eq!(Seen::now(), Seen::of(&outer));
        }
        drop((stranger.enter(), snapshot.attach()));
        assert_eq!(Seen::now(), Seen::of(&outer));
    });
}

// ---- Layers and filters ----------------------------------------------------------------------------------------------

/// Counts how often each span is entered and left.
#[derive(Clone, Default)]
struct Count(Arc<Mutex<Vec<String>>>);

impl Count {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Count {
    fn on_enter(&self, id: &Id, cx: layer::Context<'_, S>) {
        self.0.lock().unwrap().push(format!("enter {}", cx.span(id).unwrap().name()));
    }

    fn on_exit(&self, id: &Id, cx: layer::Context<'_, S>) {
        self.0.lock().unwrap().push(format!("exit {}", cx.span(id).unwrap().name()));
    }
}

#[test]
fn nothing_is_entered_twice_and_what_is_set_aside_is_not_left() {
    let count = Count::default();
    dispatcher::with_default(&Rig::new().subscriber().with(count.clone()).into(), || {
        let span = info_span!("captured");
        let snapshot = span.in_scope(TracingSnapshot::capture);
        count.take();
        for run in WAYS {
            run(&snapshot, &mut || run(&snapshot, &mut || ()));
            assert_eq!(count.take(), ["enter captured", "exit captured"], "bound twice");

            span.in_scope(|| run(&snapshot, &mut || ()));
            assert_eq!(count.take(), ["enter captured", "exit captured"], "where it is current already");

            info_span!("stranger").in_scope(|| run(&snapshot, &mut || ()));
            assert_eq!(count.take(), ["enter stranger", "enter captured", "exit captured", "exit stranger"]);
        }
        let mut endless = pin!(std::future::pending::<()>().with_context(snapshot));
        for _ in 0..3 {
            assert!(endless.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(count.take(), ["enter captured", "exit captured"], "a poll");
        }
    });
}

#[test]
fn a_disabled_span_does_not_lose_the_context() {
    let rig = Rig::new();
    let filter = filter_fn(|metadata| metadata.name() != "disabled");
    dispatcher::with_default(&rig.subscriber().with(filter).into(), || {
        let request = info_span!("request");
        let snapshot = request.in_scope(|| {
            let disabled = info_span!("disabled");
            assert!(disabled.is_disabled());
            disabled.in_scope(TracingSnapshot::capture)
        });
        for run in WAYS {
            let mut seen = Seen::NOTHING;
            run(&snapshot, &mut || seen = Seen::now());
            assert_eq!(seen, Seen::of(&request));

            // It has nothing to enter, and a stranger's span is not its own.
            let disabled = TracingSnapshot::new(info_span!("disabled"), request.context());
            info_span!("stranger").in_scope(|| run(&disabled, &mut || seen = Seen::now()));
            assert_eq!(seen, Seen { span: None, ..Seen::of(&request) });
        }
    });
}

#[test]
fn a_span_that_opentelemetry_does_not_see_does_not_lose_the_context() {
    let rig = Rig::new();
    let otel = tracing_opentelemetry::layer().with_tracer(rig.tracer());
    let otel = otel.with_filter(filter_fn(|metadata| metadata.name() != "logged only"));
    dispatcher::with_default(&Registry::default().with(rig.log.clone()).with(otel).into(), || {
        for run in WAYS {
            let snapshot =
                info_span!("request").in_scope(|| info_span!("logged only", n = 1).in_scope(TracingSnapshot::capture));
            info_span!("stranger").in_scope(|| run(&snapshot, &mut || rig.work()));
            drop(snapshot);

            assert_eq!(rig.log.take(), ["request: logged only n=1: inside"]);
            let tree = rig.recorder.tree();
            assert_eq!(
                tree.display().durations(false).to_string(),
                "request\n├─ by opentelemetry\n└─ by tracing\nstranger"
            );
            rig.recorder.clear();
        }
    });
}

/// A layer whose filter the captured span does not pass goes by whatever else is entered on the thread.
#[test]
fn a_layer_that_does_not_see_the_span_does_not_see_a_strangers() {
    let rig = Rig::new();
    let not_the_traced_one = || filter_fn(|metadata| metadata.name() != "traced only");
    let log = rig.log.clone().with_filter(not_the_traced_one());
    // An even number of layers has such a filter.
    let other = layer::Identity::new().with_filter(not_the_traced_one());
    let otel = tracing_opentelemetry::layer().with_tracer(rig.tracer());
    dispatcher::with_default(&Registry::default().with(log).with(other).with(otel).into(), || {
        let snapshot = info_span!("traced only").in_scope(TracingSnapshot::capture);
        let span_alone: [Run; 2] = [
            |snapshot, f| snapshot.span().run(f),
            |snapshot, f| {
                let _guard = snapshot.span().clone().attach();
                f();
            },
        ];
        for run in WAYS.into_iter().chain(span_alone) {
            info_span!("stranger").in_scope(|| run(&snapshot, &mut || info!("inside")));
            assert_eq!(rig.log.take(), ["inside"]);
        }
    });
}

/// As older versions of tracing-opentelemetry are: the parent is tracing's current span, and the current context only where
/// there is none.
#[test]
fn without_context_activation_too() {
    let rig = Rig::new();
    let otel = tracing_opentelemetry::layer().with_tracer(rig.tracer()).with_context_activation(false);
    dispatcher::with_default(&Registry::default().with(rig.log.clone()).with(otel).into(), || {
        for run in WAYS {
            let request = info_span!("request");
            let snapshot = request.in_scope(TracingSnapshot::capture);
            let remote = TracingSnapshot::new(Span::none(), request.context());
            drop(request);
            info_span!("stranger").in_scope(|| {
                run(&snapshot, &mut || info_span!("in the span").in_scope(|| ()));
                run(&remote, &mut || info_span!("in the context").in_scope(|| ()));
            });
            drop((snapshot, remote));

            let tree = rig.recorder.tree();
            assert_eq!(
                tree.display().durations(false).to_string(),
                "request\n├─ in the context\n└─ in the span\nstranger"
            );
            rig.recorder.clear();
        }
    });
}

// ---- Let go early ----------------------------------------------------------------------------------------------------

#[test]
fn the_span_closes_when_the_work_is_done() {
    with_rig(|rig| {
        let finished = || rig.recorder.spans().iter().map(|span| span.name.to_string()).collect::<Vec<_>>();
        let current = |name: &'static str| info_span!("request", otel.name = name).in_scope(TracingSnapshot::capture);

        let mut future = pin!(async {}.with_context(current("future")));
        assert_eq!(finished(), [""; 0]);
        assert!(future.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(finished(), ["future"]);

        let mut iterator = (0..1).with_context(current("iterator"));
        assert_eq!((iterator.next(), finished()), (Some(0), vec!["future".to_owned()]));
        assert_eq!((iterator.next(), finished()), (None, vec!["future".to_owned()]), "it may go on");
        drop(iterator);
        assert_eq!(finished(), ["future", "iterator"]);

        let message = 7.with_context(current("message"));
        assert_eq!(message.run(|_| finished().len()), 2);
        assert_eq!(finished(), ["future", "iterator", "message"]);
    });
}

#[test]
fn what_is_dropped_unfinished_is_dropped_inside() {
    struct Probe<'a>(&'a RefCell<Seen>);

    impl Drop for Probe<'_> {
        fn drop(&mut self) {
            self.0.replace(Seen::now());
        }
    }

    with_rig(|rig| {
        let span = info_span!("captured");
        let expected = Seen::of(&span);
        let snapshot = span.in_scope(TracingSnapshot::capture);
        drop(span);
        let seen = RefCell::new(Seen::NOTHING);
        let _stranger = info_span!("stranger").entered();
        drop(Probe(&seen).with_context(snapshot));
        assert_eq!(seen.into_inner(), expected);
        assert_eq!(rig.recorder.spans().len(), 1, "and the span has closed");
    });
}

// ---- The parts alone -------------------------------------------------------------------------------------------------

#[test]
fn a_span_alone_carries_its_own_context() {
    with_rig(|_| {
        let span = info_span!("captured");
        let work = span.in_scope(|| (Seen::now as fn() -> Seen).with_current::<Span>());
        info_span!("stranger").in_scope(|| assert_eq!(work.run_ref(|work| work()), Seen::of(&span)));
        let guard = span.clone().attach();
        assert_eq!(Seen::now(), Seen::of(&span));
        drop(guard);
        assert_eq!(Seen::now(), Seen::NOTHING);
    });
}

#[test]
fn a_span_alone_carries_its_own_context_also_where_it_is_current_already() {
    with_rig(|_| {
        let span = info_span!("captured");
        let other = info_span!("other").in_scope(Context::capture);
        span.in_scope(|| {
            other.run(|| {
                assert_eq!(span.run(Seen::now), Seen::of(&span));
                let guard = span.clone().attach();
                assert_eq!(Seen::now(), Seen::of(&span));
                drop(guard);
                assert_ne!(Seen::now(), Seen::of(&span));
            });
            assert_eq!(Seen::now(), Seen::of(&span));
        });
    });
}

#[test]
fn the_default_subscriber_travels() {
    with_rig(|rig| {
        let current = info_span!("request", id = 7).in_scope(TracingSnapshot::capture);
        let subscriber = Dispatch::capture();
        let none = Rig::new();
        on_another_thread(move || {
            current.run(|| info!("there"));
            subscriber.run(|| info!("without a span"));
            let guard = subscriber.clone().attach();
            info!("by its guard");
            // One that is captured here is the same.
            let captured = Dispatch::capture();
            drop(guard);
            captured.run(|| info!("captured"));
            dispatcher::with_default(current.subscriber(), || info!("taken out"));
            // A stranger's is not seen, nor is it lost.
            dispatcher::with_default(&none.dispatch(), || {
                current.run(|| info!("there again"));
                let _guard = current.attach();
                info!("and by a guard");
                drop(_guard);
                info!("outside");
            });
            assert_eq!(none.log.take(), ["outside"]);
            info!("nobody hears");
        });
        assert_eq!(
            rig.log.take(),
            [
                "request id=7: there",
                "without a span",
                "by its guard",
                "captured",
                "taken out",
                "request id=7: there again",
                "request id=7: and by a guard"
            ]
        );
    });
}

#[test]
fn no_subscriber_travels_as_well() {
    let (tx, rx) = mpsc::channel();
    on_another_thread(move || tx.send((|| info!("inside")).with_current::<TracingSnapshot>()).unwrap());
    with_rig(|rig| {
        rx.recv().unwrap().run(|f| f());
        info!("outside");
        assert_eq!(rig.log.take(), ["outside"]);
    });
}
