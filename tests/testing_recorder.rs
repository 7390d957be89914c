//! The recorder keeps what is sampled, wherever it ends.

#[path = "support/own_process.rs"]
mod own_process;

use std::{
    panic,
    process::Command,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Wake, Waker},
    thread,
    time::{Duration, Instant, SystemTime},
};

use ctxhop::testing::{TraceRecorder, TraceTree};
use opentelemetry::{
    Context, KeyValue, TraceFlags, TraceId, global,
    trace::{Link, Span as _, SpanContext, SpanKind, TraceContextExt, TraceState, Tracer},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample, SpanData, SpanExporter},
};
use own_process::in_own_process;
use static_assertions::assert_impl_all;

assert_impl_all!(TraceRecorder: Send, Sync, Clone, Default, std::fmt::Debug);

fn text(tree: &TraceTree) -> String {
    tree.display().durations(false).to_string()
}

#[test]
fn keeps_spans_in_the_order_in_which_they_ended() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    tracer.in_span("outer", |_| tracer.in_span("inner", |_| {}));
    let open = tracer.start("open");
    assert_eq!(recorder.spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["inner", "outer"]);
    assert_eq!(recorder.spans()[0].instrumentation_scope.name(), "test");
    assert_eq!(format!("{recorder:?}"), "TraceRecorder { spans: 2 finished, 1 open, .. }");

    recorder.clone().clear();
    assert!(recorder.spans().is_empty());
    assert!(recorder.tree().roots().is_empty());
    drop(open);
    assert_eq!(recorder.spans().len(), 1);
}

/// The names of the spans.
fn names(spans: &[SpanData]) -> Vec<&str> {
    spans.iter().map(|span| &*span.name).collect()
}

#[test]
fn lists_open_spans_in_the_order_in_which_they_started() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let start = |name, millis| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        tracer.span_builder(name).with_start_time(time).start(&tracer)
    };
    let (b, c, a) = (start("b", 2), start("c", 2), start("a", 1));
    drop(start("ended", 1));
    assert_eq!(names(&recorder.open_spans()), ["a", "b", "c"]);
    assert_eq!(names(recorder.tree().open_spans()), ["a", "b", "c"]);
    recorder.clear();
    drop(b);
    assert_eq!(names(&recorder.open_spans()), ["a", "c"]);
    drop((a, c));
    assert!(recorder.open_spans().is_empty());
    assert_eq!(names(&recorder.spans()), ["b", "a", "c"]);
}

// Waiting. The limits that a test is to reach are short; the others never pass, unless the test fails.

const FOREVER: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn waits_for_a_span_that_ends_on_another_thread() {
    let recorder = TraceRecorder::new();
    let span = recorder.tracer("test").start("late");
    let (looked, has_looked) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            // So the wait has begun, and found nothing.
            has_looked.recv().unwrap();
            drop(span);
        });
        let mut looks = 0;
        let tree = recorder.wait_until(FOREVER, |tree| {
            looks += 1;
            looked.send(()).ok();
            tree.open_spans().is_empty()
        });
        assert_eq!(tree.assert_single_trace().name(), "late");
        assert!(looks <= 3, "it polls: {looks}");
    });
    // What holds already needs no time.
    recorder.wait_until(Duration::ZERO, |tree| tree.find("late").is_some());
    recorder.wait_until(Duration::MAX, |tree| tree.find("late").is_some());
}

#[test]
fn a_condition_may_use_the_recorder() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let tree = recorder.wait_until(FOREVER, |tree| {
        tracer.in_span("looked", |_| {});
        tree.find_all("looked").count() == 2
    });
    assert_eq!(tree.trace_count(), 2);
    assert_eq!(recorder.spans().len(), 3);
}

/// What a wait says when its limit is over.
fn panic_of(wait: impl FnOnce()) -> String {
    *panic::catch_unwind(panic::AssertUnwindSafe(wait)).unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn a_wait_ends_with_its_limit_and_says_what_is_open() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let open = tracer.start("open");
    let message = panic_of(|| drop(recorder.wait_until(SHORT, |tree| tree.open_spans().is_empty())));
    assert_eq!(message, "the condition does not hold within 20ms:\nstill open: open");
    drop(open);

    // Also where the tree changes all the time.
    let message = panic_of(|| {
        drop(recorder.wait_until(SHORT, |_| {
            tracer.in_span("another", |_| {});
            false
        }));
    });
    assert!(message.starts_with("the condition does not hold within 20ms:\nopen "), "{message}");

    let line = line!() + 1;
    let wait = recorder.wait_until_async(SHORT, |_| false);
    let message = panic_of(|| drop(futures::executor::block_on(wait)));
    let place = format!("the condition does not hold within 20ms (waited for at {}:{line}:", file!());
    assert!(message.starts_with(&place), "{message}");
}

#[test]
fn a_future_waits_for_a_span_that_ends_in_another_task() {
    let recorder = TraceRecorder::new();
    let span = recorder.tracer("test").start("late");
    let tree = futures::executor::block_on(async {
        let wait = recorder.wait_until_async(FOREVER, |tree| tree.open_spans().is_empty());
        // The first poll of `join` is the wait's, so it is pending when the span ends.
        futures::join!(wait, async { drop(span) }).0
    });
    assert_eq!(tree.assert_single_trace().name(), "late");
    let tree =
        futures::executor::block_on(recorder.wait_until_async(Duration::ZERO, |tree| tree.find("late").is_some()));
    assert_eq!(tree.trace_count(), 1);
}

#[test]
fn the_limit_of_a_future_begins_with_its_first_poll() {
    let recorder = TraceRecorder::new();
    let (limit, made) = (10 * SHORT, Instant::now());
    let mut wait = Box::pin(recorder.wait_until_async(limit, |_| false));
    while made.elapsed() < limit {
        thread::yield_now();
    }
    assert!(wait.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
}

#[cfg(target_os = "linux")]
#[test]
fn a_future_that_is_dropped_ends_its_thread() {
    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    if in_own_process("a_future_that_is_dropped_ends_its_thread", |_| {}) {
        let recorder = TraceRecorder::new();
        let before = threads();
        let mut wait = Box::pin(recorder.wait_until_async(FOREVER, |_| false));
        assert_eq!(threads(), before, "the limit begins with the first poll");
        assert!(wait.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(threads(), before + 1);
        drop(wait);
        // Far less than the limit, and far more than a thread takes to end.
        let dropped = Instant::now();
        while threads() > before {
            assert!(dropped.elapsed() < FOREVER / 2, "the thread is still there");
            thread::yield_now();
        }
    }
}

/// A span may end on a thread that holds what the woken task's scheduler needs, so no lock is held then.
#[test]
fn wakers_may_use_the_recorder() {
    struct Woken(TraceRecorder, AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(self.0.spans().len(), Ordering::Relaxed);
        }
    }

    let recorder = TraceRecorder::new();
    let span = recorder.tracer("test").start("late");
    let woken = Arc::new(Woken(recorder.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut wait = Box::pin(recorder.wait_until_async(FOREVER, |tree| tree.open_spans().is_empty()));
    for _ in 0..3 {
        assert!(wait.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
    }
    drop(span);
    assert_eq!(woken.1.load(Ordering::Relaxed), 1, "woken once, with the span in its place");
    assert!(wait.as_mut().poll(&mut task::Context::from_waker(&waker)).is_ready());
}

#[test]
fn parallel_recorders_do_not_see_each_other() {
    const RECORDERS: usize = 8;
    let barrier = Barrier::new(RECORDERS);
    thread::scope(|scope| {
        for own in 0..RECORDERS {
            let barrier = &barrier;
            scope.spawn(move || {
                let recorder = TraceRecorder::new();
                let tracer = recorder.tracer("test");
                barrier.wait();
                for _ in 0..50 {
                    tracer.in_span(format!("of {own}"), |_| {});
                }
                barrier.wait();
                assert_eq!(recorder.spans().len(), 50);
                assert!(recorder.spans().iter().all(|span| span.name == format!("of {own}")));
            });
        }
    });
}

#[test]
fn records_inside_an_executor() {
    let recorder = TraceRecorder::new();
    futures::executor::block_on(async { drop(recorder.tracer("test").start("polled")) });
    assert_eq!(text(&recorder.tree()), "polled");
}

#[test]
fn records_a_span_that_ends_while_a_panic_unwinds() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let unwound = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let _guard = Context::new().with_span(tracer.start("panics")).attach();
        let _child = tracer.start("child");
        panic::resume_unwind(Box::new("expected"));
    }));
    assert!(unwound.is_err());
    assert_eq!(text(&recorder.tree()), "panics\n└─ child");
}

#[test]
fn keeps_spans_after_a_shutdown() {
    let recorder = TraceRecorder::new();
    drop(recorder.tracer("test").start("before"));
    let _open = recorder.tracer("test").start("open");
    recorder.provider().force_flush().unwrap();
    recorder.provider().shutdown().unwrap();
    drop(recorder.tracer("test").start("after"));
    assert_eq!(text(&recorder.tree()), "before");
    assert!(recorder.open_spans().is_empty(), "no one is told when they end");
}

/// Records all spans, and samples those that are called so.
#[derive(Clone, Debug)]
struct ByName;

impl ShouldSample for ByName {
    fn should_sample(
        &self,
        _: Option<&Context>,
        _: TraceId,
        name: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let sampled = name == "sampled";
        let decision = if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::RecordOnly };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::default() }
    }
}

#[derive(Debug)]
struct Forward(std::sync::mpsc::Sender<SpanData>);

impl SpanExporter for Forward {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        batch.into_iter().for_each(|span| self.0.send(span).unwrap());
        Ok(())
    }
}

#[test]
fn a_provider_of_ones_own_keeps_its_sampler_and_its_exporters() {
    let (sender, exported) = std::sync::mpsc::channel();
    let builder = SdkTracerProvider::builder().with_sampler(ByName).with_simple_exporter(Forward(sender));
    let recorder = TraceRecorder::with_provider(builder);
    drop(recorder.tracer("test").start("sampled"));
    let mut recording = recorder.tracer("test").start("not sampled");
    assert!(recording.is_recording());
    recording.end();
    assert_eq!(text(&recorder.tree()), "sampled");
    assert_eq!(exported.try_iter().map(|span| span.name).collect::<Vec<_>>(), ["sampled"]);

    let none = TraceRecorder::with_provider(SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff));
    drop(none.tracer("test").start("dropped"));
    assert!(none.spans().is_empty());
}

#[test]
fn samples_everything_whatever_the_environment_says() {
    let environment = [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "0"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "0"),
    ];
    let start = |command: &mut Command| {
        command.envs(environment);
    };
    if in_own_process("samples_everything_whatever_the_environment_says", start) {
        let recorder = TraceRecorder::default();
        let mut span = recorder.tracer("test").start("kept");
        span.set_attribute(KeyValue::new("kept", true));
        span.add_event("kept", Vec::new());
        span.add_link(SpanContext::NONE, Vec::new());
        drop(span);
        let mut span = recorder.tracer("test").start("full");
        for _ in 0..129 {
            span.set_attribute(KeyValue::new("one of many", true));
            span.add_event("one of many", Vec::new());
            span.add_link(SpanContext::NONE, Vec::new());
        }
        drop(span);
        let unsampled = SpanContext::new(1.into(), 1.into(), TraceFlags::NOT_SAMPLED, true, TraceState::default());
        let parent = Context::new().with_remote_span_context(unsampled);
        drop(recorder.tracer("test").start_with_context("below unsampled", &parent));

        let spans = recorder.spans();
        assert_eq!(spans.len(), 3);
        let kept = |span: &SpanData| (span.attributes.len(), span.events.len(), span.links.len());
        assert_eq!([kept(&spans[0]), kept(&spans[1])], [(1, 1, 1), (128, 128, 128)]);
    }
}

/// In a process of its own, because the other tests would see the global provider.
#[test]
fn installs_itself_globally() {
    if in_own_process("installs_itself_globally", |_| {}) {
        let recorder = TraceRecorder::new();
        drop(global::tracer("test").start("before"));
        recorder.install_global();
        drop(global::tracer("test").start("after"));
        assert_eq!(text(&recorder.tree()), "after");
    }
}
