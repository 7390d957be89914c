//! Every hop in every form: with a context of one's choice, with the current one, with the current span; and, where the hop
//! has them, with the parent only and detached. A hop is a row; a row without one of the first three does not compile.
//!
//! The work is submitted in a request, and done where a stranger's context and span are current. It tells what it sees, and
//! whether the request's span has ended by then.

mod channels;
mod jobs;
mod law;
mod tasks;

#[path = "../support/tracing.rs"]
mod support;

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use ctxhop::{Snapshot, tracing::TracingSnapshot};
use opentelemetry::{
    Context,
    trace::{SpanId, TraceContextExt, Tracer},
};
use support::{Rig, Seen};
use tokio::{runtime::Runtime, task::LocalSet};
use tracing::{Span, info_span};

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let rig = Rig::new();
    tracing::subscriber::set_global_default(rig.subscriber()).unwrap();
    rig
});

/// A runtime on the test's own thread.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

#[derive(Clone, Copy, Debug, PartialEq)]
struct Tag(&'static str);

// ---- The work --------------------------------------------------------------------------------------------------------

/// What the work saw.
#[derive(Debug, PartialEq)]
struct View {
    tag: Option<&'static str>,
    span: Option<&'static str>,
    otel: Option<SpanId>,
    request_has_ended: bool,
}

/// Done once, by whichever of its clones comes first.
#[derive(Clone)]
pub(crate) struct Work(Arc<Mutex<Option<Job>>>);

type Job = Box<dyn FnOnce() + Send>;

impl Work {
    /// Work that waits until it is told to go, and tells what it sees.
    fn new() -> (Self, mpsc::Sender<()>, Receiver<View>) {
        let (go, may_go) = mpsc::channel();
        let (tx, view) = mpsc::channel();
        let job = move || {
            may_go.recv().unwrap();
            let Seen { span, otel } = Seen::now();
            let tag = Context::map_current(|cx| cx.get::<Tag>().map(|tag| tag.0));
            tx.send(View { tag, span, otel, request_has_ended: request_has_ended() }).unwrap();
        };
        (Self(Arc::new(Mutex::new(Some(Box::new(job))))), go, view)
    }

    pub(crate) fn run(&self) {
        let job = self.0.lock().unwrap().take();
        if let Some(job) = job {
            job();
        }
    }

    pub(crate) async fn task(self) {
        self.run();
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

fn request_has_ended() -> bool {
    RIG.recorder.spans().iter().any(|span| span.name == "request")
}

// ---- The forms -------------------------------------------------------------------------------------------------------

/// Waits until what was submitted is done.
pub(crate) type Finish = Pin<Box<dyn Future<Output = ()>>>;

/// For work that is awaited.
pub(crate) fn after<F: Future + 'static>(done: F) -> Finish
where
    F::Output: IsDone,
{
    Box::pin(async { done.await.assert_done() })
}

/// For work that somebody else does, or that is done already.
pub(crate) fn elsewhere() -> Finish {
    Box::pin(async {})
}

pub(crate) trait IsDone {
    fn assert_done(self);
}

impl IsDone for () {
    fn assert_done(self) {}
}

impl<T: IsDone, E: fmt::Debug> IsDone for Result<T, E> {
    fn assert_done(self) {
        self.unwrap().assert_done();
    }
}

/// A hop's forms, with the OpenTelemetry context or with all of `tracing`'s.
pub(crate) struct Forms<S> {
    given: Box<dyn Fn(S, Work) -> Finish>,
    current: Box<dyn Fn(Work) -> Finish>,
    parent_only: Option<Box<dyn Fn(Work) -> Finish>>,
    detached: Option<Box<dyn Fn(Work) -> Finish>>,
}

impl<S> Forms<S> {
    pub(crate) fn new(given: impl Fn(S, Work) -> Finish + 'static, current: impl Fn(Work) -> Finish + 'static) -> Self {
        Self { given: Box::new(given), current: Box::new(current), parent_only: None, detached: None }
    }

    pub(crate) fn parent_only(self, form: impl Fn(Work) -> Finish + 'static) -> Self {
        Self { parent_only: Some(Box::new(form)), ..self }
    }

    pub(crate) fn detached(self, form: impl Fn(Work) -> Finish + 'static) -> Self {
        Self { detached: Some(Box::new(form)), ..self }
    }
}

/// When the work may be done.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum When {
    /// After the submit, when nobody but the hop can hold the request's span.
    Later,
    /// Within the call, which waits for it.
    Within,
}

/// One of the two kinds of snapshot.
trait Facade: Snapshot + 'static {
    /// A request that nothing but the snapshot holds.
    fn request() -> Self;

    /// The name of `tracing`'s span that the work has to see, or `None` if the facade does not care.
    fn expected_span(in_request: bool) -> Option<Option<&'static str>>;

    fn otel(&self) -> SpanId;
}

impl Facade for Context {
    fn request() -> Self {
        Context::new().with_value(Tag("request")).with_span(RIG.tracer().start("request"))
    }

    fn expected_span(_: bool) -> Option<Option<&'static str>> {
        None
    }

    fn otel(&self) -> SpanId {
        self.span().span_context().span_id()
    }
}

impl Facade for TracingSnapshot {
    fn request() -> Self {
        let request = TracingSnapshot::new(Span::none(), Context::new()).run(|| info_span!("request"));
        let context = request.in_scope(|| Context::current_with_value(Tag("request")));
        Self::new(request, context)
    }

    fn expected_span(in_request: bool) -> Option<Option<&'static str>> {
        Some(in_request.then_some("request"))
    }

    fn otel(&self) -> SpanId {
        self.context().span().span_context().span_id()
    }
}

// ---- The check -------------------------------------------------------------------------------------------------------

/// Checks one hop in all its forms. Both facades have to have the same ones.
#[track_caller]
pub(crate) fn check(name: &str, when: When, context: Forms<Context>, span: Forms<TracingSnapshot>) {
    assert_eq!(context.parent_only.is_some(), span.parent_only.is_some(), "{name}: parent only");
    check_forms(&format!("{name}, context"), when, context);
    check_forms(&format!("{name}, span"), when, span);
}

fn check_forms<S: Facade>(name: &str, when: When, forms: Forms<S>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);

    let Forms { given, current, parent_only, detached } = forms;
    let whole = Expected { in_request: true, holds: true, span: S::expected_span(true) };
    check_form::<S>(&format!("{name}, given"), when, whole, |request, work| given(request, work));
    check_form::<S>(&format!("{name}, current"), when, whole, |request, work| request.run(|| current(work)));
    if let Some(form) = parent_only {
        let parent = Expected { in_request: true, holds: false, span: S::expected_span(false) };
        check_form::<S>(&format!("{name}, parent only"), when, parent, |request, work| request.run(|| form(work)));
    }
    if let Some(form) = detached {
        let nothing = Expected { in_request: false, holds: false, span: S::expected_span(false) };
        check_form::<S>(&format!("{name}, detached"), when, nothing, |request, work| request.run(|| form(work)));
    }
}

#[derive(Clone, Copy)]
struct Expected {
    in_request: bool,
    /// Whether the hop holds the request's span open until the work is done.
    holds: bool,
    span: Option<Option<&'static str>>,
}

fn check_form<S: Facade>(name: &str, when: When, expected: Expected, submit: impl FnOnce(S, Work) -> Finish) {
    RIG.recorder.clear();
    let (work, go, view) = Work::new();
    let stranger = info_span!(parent: None, "stranger");
    let saw = stranger.in_scope(|| {
        let _stranger = Context::current_with_value(Tag("stranger")).attach();
        LocalSet::new().block_on(&RUNTIME, async {
            let request = S::request();
            let otel = request.otel();
            if when == When::Within {
                go.send(()).unwrap();
            }
            let finish = submit(request, work);
            if when == When::Later {
                go.send(()).unwrap();
            }
            finish.await;
            (view.recv().unwrap(), otel)
        })
    });
    let (view, request) = saw;
    let expected = View {
        tag: expected.in_request.then_some("request"),
        span: expected.span.unwrap_or(view.span),
        otel: expected.in_request.then_some(request),
        request_has_ended: !expected.holds,
    };
    assert_eq!(view, expected, "{name}");
    // A pool may still be dropping what it has run.
    RIG.recorder.wait_until(Duration::from_secs(10), |tree| tree.find("request").is_some());
}
