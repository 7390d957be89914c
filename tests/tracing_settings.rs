//! Hops in the settings that services on `tracing` have: filters of each kind, a reloaded one, several subscribers, remote parents,
//! records of the `log` crate, instrumented trait methods. To install the logger of `log` is why this is a test binary of its own.

#[path = "support/tracing.rs"]
mod support;

use std::pin::Pin;

use ctxhop::{
    Snapshot,
    tracing::{TracingSnapshot, prelude::*},
};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use support::{Rig, Seen};
use tracing::{Dispatch, Span, debug, dispatcher, info, info_span};
use tracing_opentelemetry::{OpenTelemetrySpanExt, SetParentError};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::LevelFilter, filter::filter_fn, layer::SubscriberExt, reload,
};

/// Runs `work` on another thread, with all that is current here.
#[track_caller]
fn hop<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    ctxhop::tracing::thread::spawn(work).join().unwrap()
}

fn tree(rig: &Rig) -> String {
    rig.recorder.tree().display().durations(false).to_string()
}

// ---- Spans -----------------------------------------------------------------------------------------------------------

#[test]
fn a_span_that_has_closed_is_the_parent_all_the_same() {
    let rig = Rig::new();
    dispatcher::with_default(&rig.dispatch(), || {
        let snapshot = info_span!("request", id = 7).in_scope(|| TracingSnapshot::capture().parent_only());
        assert_eq!(rig.recorder.spans().len(), 1, "the request has closed");
        let worker = rig.clone();
        ctxhop::tracing::thread::spawn_with_context(snapshot, move || worker.work()).join().unwrap();
    });
    assert_eq!(tree(&rig), "request\n├─ by opentelemetry\n└─ by tracing");
    assert_eq!(rig.log.take(), ["inside"], "the fields went with the span");
}

#[test]
fn a_span_that_opentelemetry_has_ended_is_the_parent_all_the_same() {
    let rig = Rig::new();
    dispatcher::with_default(&rig.dispatch(), || {
        info_span!("request", id = 7).in_scope(|| {
            Context::current().span().end();
            assert!(rig.recorder.open_spans().is_empty());
            let worker = rig.clone();
            hop(move || worker.work());
        });
    });
    assert_eq!(tree(&rig), "request\n├─ by opentelemetry\n└─ by tracing");
    assert_eq!(rig.log.take(), ["request id=7: inside"], "tracing's span is open");
}

/// A span knows its subscriber. The events in it go to whichever subscriber is the thread's default.
#[test]
fn a_span_of_another_subscriber_is_entered_in_its_own() {
    let (here, there) = (Rig::new(), Rig::new());
    let span = dispatcher::with_default(&there.dispatch(), || info_span!("there", id = 7));
    dispatcher::with_default(&here.dispatch(), || {
        info_span!("here", id = 8).in_scope(|| {
            let work = || info!("inside");
            work.with_context(span.clone()).run(|work| work());
            work.with_context(TracingSnapshot::new(span.clone(), Context::new())).run(|work| work());
            let guard = span.clone().attach();
            work();
            drop(guard);
            assert_eq!(Seen::now().span, Some("here"));
        });
        assert_eq!(Seen::now(), Seen::NOTHING);
    });
    assert_eq!(here.log.take(), ["here id=8: inside"; 3], "the default subscriber knows nothing of the other's span");
    assert_eq!(there.log.take(), [""; 0]);

    // Together with its subscriber, which a snapshot captures, it is current.
    let snapshot =
        dispatcher::with_default(&there.dispatch(), || info_span!("there", id = 7).in_scope(TracingSnapshot::capture));
    dispatcher::with_default(&here.dispatch(), || info_span!("here").in_scope(|| snapshot.run(|| info!("inside"))));
    assert_eq!(there.log.take(), ["there id=7: inside"]);
    drop((span, snapshot));
    assert!(there.recorder.open_spans().is_empty());
}

#[test]
fn a_remote_parent_is_set_before_the_hop_and_refused_after_it() {
    let remote = |trace| {
        let (trace, span) = (TraceId::from(trace), SpanId::from(1));
        let span = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
        Context::new().with_remote_span_context(span)
    };
    let rig = Rig::new();
    dispatcher::with_default(&rig.dispatch(), || {
        let request = info_span!("request");
        request.set_parent(remote(7)).unwrap();
        let snapshot = request.in_scope(TracingSnapshot::capture);
        // The hop needs the span's identity, so the span has started.
        assert!(matches!(request.set_parent(remote(8)), Err(SetParentError::AlreadyStarted)));
        let worker = rig.clone();
        ctxhop::tracing::thread::spawn_with_context(snapshot, move || worker.work()).join().unwrap();
    });
    assert_eq!(tree(&rig), "request (remote parent)\n├─ by opentelemetry\n└─ by tracing");
    assert!(rig.recorder.spans().iter().all(|span| span.span_context.trace_id() == TraceId::from(7)));
}

// ---- Filters ---------------------------------------------------------------------------------------------------------

#[test]
fn a_directive_with_a_span_goes_by_the_span_that_was_carried() {
    let rig = Rig::new();
    let subscriber = Registry::default().with(rig.log.clone()).with(EnvFilter::new("info,[request]=debug"));
    dispatcher::with_default(&Dispatch::new(subscriber), || {
        info_span!("request", id = 7).in_scope(|| hop(|| debug!("in the request")));
        info_span!("other").in_scope(|| hop(|| debug!("in another span")));
        hop(|| debug!("in no span"));

        let (tx, rx) = std::sync::mpsc::channel();
        info_span!("request", id = 8).in_scope(|| tx.send_with_current_span("message")).unwrap();
        rx.recv().unwrap().run(|message| debug!("in the {message}"));
        debug!("afterwards");
    });
    assert_eq!(rig.log.take(), ["request id=7: in the request", "request id=8: in the message"]);
}

#[test]
fn a_filter_that_is_reloaded_meanwhile_holds_for_the_work() {
    let rig = Rig::new();
    let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
    let subscriber = rig.subscriber().with(filter);
    dispatcher::with_default(&Dispatch::new(subscriber), || {
        let request = info_span!("request", id = 7);
        let snapshot = request.in_scope(TracingSnapshot::capture);
        for (level, expected) in [(LevelFilter::WARN, vec![]), (LevelFilter::DEBUG, vec!["request id=7: inside"])] {
            handle.reload(level).unwrap();
            let expect_seen = Seen::of(&request);
            let work = move || {
                info!("inside");
                assert_eq!(Seen::now(), expect_seen);
            };
            ctxhop::tracing::thread::spawn_with_context(snapshot.clone(), work).join().unwrap();
            assert_eq!(rig.log.take(), expected);
        }
    });
}

#[test]
fn each_layer_sees_the_spans_that_its_own_filter_lets_pass() {
    let rig = Rig::new();
    let not = |name| filter_fn(move |metadata| metadata.name() != name);
    let otel = tracing_opentelemetry::layer().with_tracer(rig.tracer()).with_filter(not("logged only"));
    let log = rig.log.clone().with_filter(not("traced only"));
    dispatcher::with_default(&Dispatch::new(Registry::default().with(log).with(otel)), || {
        let request = info_span!("request", id = 7).entered();
        for span in [info_span!("logged only"), info_span!("traced only")] {
            let worker = rig.clone();
            span.in_scope(|| hop(move || worker.work()));
        }
        drop(request);
    });
    assert_eq!(
        tree(&rig),
        "\
request
├─ by opentelemetry
├─ by tracing
└─ traced only
   ├─ by opentelemetry
   └─ by tracing"
    );
    // The limit that the docs name: a layer that does not see the captured span does not see the spans around it either.
    assert_eq!(rig.log.take(), ["request id=7: logged only: inside", "inside"]);
}

// ---- Neighbours ------------------------------------------------------------------------------------------------------

#[test]
fn records_of_the_log_crate_are_in_the_span_that_was_carried() {
    tracing_log::LogTracer::init().unwrap();
    let rig = Rig::new();
    dispatcher::with_default(&rig.dispatch(), || {
        info_span!("request", id = 7).in_scope(|| hop(|| log::info!("by log")));
    });
    let lines = rig.log.take();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("request id=7: by log"), "{lines:?}");
}

trait Shop {
    fn order(&self) -> impl Future<Output = ()> + Send;
}

#[async_trait::async_trait]
trait Stock {
    async fn reserve(&self);
}

struct Store(Rig);

impl Shop for Store {
    #[tracing::instrument(skip(self))]
    async fn order(&self) {
        let worker = self.0.clone();
        ctxhop::tracing::tokio::spawn(async move { worker.work() }).await.unwrap();
        self.reserve().await;
    }
}

#[async_trait::async_trait]
impl Stock for Store {
    #[tracing::instrument(skip(self))]
    async fn reserve(&self) {
        tokio::task::yield_now().await;
        let worker = self.0.clone();
        ctxhop::tracing::tokio::spawn_blocking(move || worker.work()).await.unwrap();
    }
}

#[test]
fn instrumented_methods_of_async_traits_are_parents() {
    let rig = Rig::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    dispatcher::with_default(&rig.dispatch(), || {
        let store = Store(rig.clone());
        runtime.block_on(async {
            // Each hop, and the awaits between.
            ctxhop::tracing::tokio::spawn(async move {
                let erased: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(store.order());
                erased.await;
            })
            .await
            .unwrap();
        });
    });
    assert_eq!(
        tree(&rig),
        "\
order
├─ by opentelemetry
├─ by tracing
└─ reserve
   ├─ by opentelemetry
   └─ by tracing"
    );
    assert_eq!(rig.log.take(), ["order: inside", "order: reserve: inside"]);
}

// ---- Where carrying is wrong -----------------------------------------------------------------------------------------

/// On a current-thread runtime, tasks are polled inside the span that is entered around `block_on`.
#[test]
fn a_detached_task_sees_no_span() {
    let rig = Rig::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    dispatcher::with_default(&rig.dispatch(), || {
        let around = info_span!("around").entered();
        let current = || async { Span::current().metadata().map(|span| span.name()) };
        let [bare, plain, ours] = runtime.block_on(async {
            let bare = tokio::spawn(current().detached());
            let plain = ctxhop::tokio::spawn_detached(current());
            let ours = ctxhop::tracing::tokio::spawn_detached(async move { Seen::now() });
            assert_eq!(ours.await.unwrap(), Seen::NOTHING);
            [bare.await, plain.await, ctxhop::tracing::tokio::spawn_parent_only(current()).await].map(Result::unwrap)
        });
        assert_eq!([bare, plain], [Some("around"); 2], "those know of the OpenTelemetry context alone");
        assert_eq!(ours, None, "parent only");
        assert_eq!(Seen::now(), Seen::of(&around));
    });
}

/// An accept loop that is started in a request's span: with the context, the request stays open as long as the loop.
#[tokio::test]
async fn a_detached_loop_lets_the_span_around_it_end() {
    let rig = Rig::new();
    let _default = dispatcher::set_default(&rig.dispatch());
    let started = info_span!("start").in_scope(|| ctxhop::tracing::tokio::spawn_detached(std::future::pending::<()>()));
    assert_eq!(rig.recorder.open_spans().len(), 0);
    let carried = info_span!("start").in_scope(|| ctxhop::tracing::tokio::spawn(std::future::pending::<()>()));
    assert_eq!(rig.recorder.open_spans().len(), 1);
    for task in [started, carried] {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(rig.recorder.open_spans().len(), 0);
}
