use ::tracing::{Dispatch, Span};
use opentelemetry::Context;

use super::{
    guard::{Attached, Guard, thread_ends},
    span,
    subscriber::ThreadDefault,
};
use crate::{ContextExt, Snapshot, trail};

/// All that a service on `tracing` has current: the thread's default subscriber, the span and the OpenTelemetry context.
///
/// Use it wherever a [`Snapshot`] can be chosen: `fut.with_current::<TracingSnapshot>()`,
/// `TracingSnapshot::capture().wrap(f)`, `Propagating::<_, TracingSnapshot>::capturing(executor)`; or the drop-in functions
/// of [this module](super), which are the same.
///
/// # Guarantees
///
/// - Inside, [`Span::current()`] and [`Context::current()`] are the captured ones, also where there was no span, and where
///   the two belong to different spans. So what is made inside by either API has the right parent, and log events have
///   the fields of the captured span and of those that it is in.
/// - The subscriber is attached first, then the span, then the context; they are detached in reverse. So the context is
///   the captured one (its baggage and values, too), and not that which the span's OpenTelemetry layer attaches as it is
///   entered.
/// - The span is entered once, or not at all where it is current already. It is entered for its layers to see it, as
///   [`Instrument`](::tracing::Instrument) does.
/// - A thread's default subscriber is attached only if some thread has one that is not the global one.
/// - Once the work is done, the captured span is let go, and closes unless others hold it.
///
/// # Examples
///
/// ```
/// use ctxhop::{Propagate, tracing::TracingSnapshot};
/// use tracing::{Span, info_span};
/// # let subscriber = tracing_subscriber::registry();
/// # let _default = tracing::subscriber::set_default(subscriber);
///
/// let (tx, rx) = std::sync::mpsc::channel();
/// info_span!("order", id = 7).in_scope(|| tx.send("two apples".with_current::<TracingSnapshot>()).unwrap());
///
/// let message = rx.recv().unwrap();
/// let name = message.run(|_apples| Span::current().metadata().map(|span| span.name()));
/// assert_eq!(name, Some("order"));
/// ```
#[derive(Clone, Debug)]
pub struct TracingSnapshot {
    span: Span,
    context: Context,
    default: ThreadDefault,
}

impl TracingSnapshot {
    /// A span and a context of your choice, with the subscriber that is this thread's default now.
    ///
    /// Use it for work that shall run in a new span.
    #[must_use]
    pub fn new(span: Span, context: Context) -> Self {
        Self { span, context, default: ThreadDefault::capture() }
    }

    /// No span and an empty context, with the subscriber that is this thread's default now: as
    /// [`detached`](crate::Propagate::detached).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{Propagate, tracing::TracingSnapshot};
    /// use tracing::{Span, info_span};
    /// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
    ///
    /// let flush = async { Span::current().is_none() };
    /// info_span!("order").in_scope(|| {
    ///     assert!(futures::executor::block_on(flush.with_context(TracingSnapshot::none())));
    /// });
    /// ```
    #[must_use]
    pub fn none() -> Self {
        trail::explicit();
        Self::new(Span::none(), Context::new())
    }

    /// This snapshot without its hold on any span: `tracing`'s is left out, and of OpenTelemetry's the identity stays, as with
    /// [`ContextExt::parent_only`]. Its work belongs to the same trace and has the same parent, and keeps no span open.
    /// Its log lines have no fields of the span that was left out.
    ///
    /// Use it for work that is long-lived, or that nobody waits for, and for messages that wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{Propagate, Snapshot, testing::TraceRecorder, tracing::TracingSnapshot};
    /// use tracing::info_span;
    /// use tracing_subscriber::layer::SubscriberExt;
    ///
    /// let recorder = TraceRecorder::new();
    /// let layer = tracing_opentelemetry::layer().with_tracer(recorder.tracer("shop"));
    /// let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    ///
    /// let cleanup = || drop(info_span!("cleanup"));
    /// let cleanup = info_span!("request").in_scope(|| cleanup.with_context(TracingSnapshot::capture().parent_only()));
    /// assert_eq!(recorder.spans().len(), 1, "the request has ended, the clean-up has not begun");
    ///
    /// cleanup.run(|cleanup| cleanup());
    /// recorder.tree().assert_single_trace();
    /// ```
    #[must_use = "this returns a new snapshot and leaves the old one as it is"]
    pub fn parent_only(&self) -> Self {
        Self { span: Span::none(), context: self.context.parent_only(), default: self.default.clone() }
    }

    /// The span.
    #[must_use]
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// The OpenTelemetry context.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The subscriber that was the thread's default.
    #[must_use]
    pub const fn subscriber(&self) -> &Dispatch {
        self.default.subscriber()
    }
}

impl Snapshot for TracingSnapshot {
    type Guard = Guard;

    fn capture() -> Self {
        Self::new(Span::capture(), Context::capture())
    }

    fn attach(self) -> Guard {
        if thread_ends() {
            return Guard::none();
        }
        let subscriber = self.default.attach();
        let (span, aside) = if span::is_current(&self.span) { (None, None) } else { span::enter(self.span) };
        let context = Some(Snapshot::attach(self.context));
        Guard::new(Attached { context, span, aside, subscriber })
    }

    fn opentelemetry(&self) -> Option<&Context> {
        Some(&self.context)
    }

    /// As the provided method, but enters the span where it lies.
    #[inline]
    fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        if self.default.is_default() { self.run_inside(f) } else { self.run_elsewhere(f) }
    }
}

impl TracingSnapshot {
    #[inline]
    fn run_inside<R>(&self, f: impl FnOnce() -> R) -> R {
        span::run(&self.span, true, || self.context.run(f))
    }

    /// Where the default may be another one.
    #[inline(never)]
    fn run_elsewhere<R>(&self, f: impl FnOnce() -> R) -> R {
        let _default = self.default.attach();
        self.run_inside(f)
    }
}
