use opentelemetry::{
    Context,
    trace::{Link, TraceContextExt},
};

use crate::hop::Sealed;

/// What hops need from a [`Context`], and OpenTelemetry's API does not offer.
pub trait ContextExt: Sealed {
    /// This context, without its hold on the span: spans started in it have the same parent, but it keeps none open.
    ///
    /// Use it for long-lived or fire-and-forget work that should stay in the trace of the request that started it,
    /// while the request's span ends when the request does. Everything else in the context stays: values, baggage,
    /// suppression. The price: the span cannot be changed through it (`cx.span().set_attribute(…)` does
    /// nothing). It is a remedy for spans that stay open, and for nothing else: threads that share one contend for its
    /// reference counts as they do for any other context's.
    ///
    /// To leave the trace altogether, see [`detached`](crate::Propagate::detached). For a task, a thread or a message there is
    /// one call: `ctxhop::tokio::spawn_parent_only`, `ctxhop::thread::spawn_parent_only`,
    /// [`send_parent_only`](crate::channel::SendWithContext::send_parent_only).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{ContextExt, Propagate, testing::TraceRecorder};
    /// use opentelemetry::{Context, trace::{TraceContextExt, Tracer}};
    ///
    /// let recorder = TraceRecorder::new();
    /// let tracer = recorder.tracer("shop");
    /// let request = Context::new().with_span(tracer.start("request"));
    ///
    /// let cleanup = async { drop(tracer.start("cleanup")) }.with_context(request.parent_only());
    /// drop(request);
    /// assert_eq!(recorder.spans().len(), 1, "the request has ended, the clean-up has not begun");
    ///
    /// futures::executor::block_on(cleanup);
    /// recorder.tree().assert_single_trace();
    /// ```
    #[must_use = "this returns a new context and leaves the old one as it is"]
    fn parent_only(&self) -> Self;

    /// A link to this context's span, or `None` when it has no valid one.
    ///
    /// Use it when work has several causes, a batch for instance: one span is the parent, the others are links.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{ContextExt, testing::TraceRecorder};
    /// use opentelemetry::{Context, trace::{TraceContextExt, Tracer}};
    ///
    /// let recorder = TraceRecorder::new();
    /// let tracer = recorder.tracer("shop");
    /// let orders: Vec<Context> =
    ///     (0..3).map(|_| Context::new().with_span(tracer.start("order"))).collect();
    ///
    /// let batch = tracer.span_builder("batch").with_links(orders.iter().filter_map(ContextExt::to_link).collect());
    /// drop(tracer.build(batch));
    /// assert_eq!(recorder.spans()[0].links.len(), 3);
    ///
    /// assert!(Context::new().to_link().is_none());
    /// ```
    #[must_use]
    fn to_link(&self) -> Option<Link>;
}

impl Sealed for Context {}

impl ContextExt for Context {
    fn parent_only(&self) -> Self {
        if self.has_active_span() {
            // "Remote" names what this method is mostly called for. It takes the span context as it is: a local one
            // stays local.
            self.with_remote_span_context(self.span().span_context().clone())
        } else {
            self.clone()
        }
    }

    fn to_link(&self) -> Option<Link> {
        let span = self.span();
        let span_context = span.span_context();
        span_context.is_valid().then(|| Link::with_context(span_context.clone()))
    }
}
