use super::TracingSnapshot;
use crate::{Propagate, WithContext};

/// [`with_current_span`](Self::with_current_span), on every value: [`Propagate::with_current_context`], with the current
/// [`TracingSnapshot`].
pub trait PropagateSpan: Propagate {
    /// Binds the [`TracingSnapshot`] of **now**, of this call, not of when the work starts.
    ///
    /// Use it on whatever is about to leave this task or thread. For a span of your choice, there is
    /// [`with_context(span)`](Propagate::with_context).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tracing::prelude::*;
    /// use tracing::{Span, info_span};
    /// # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let name = async { Span::current().metadata().map(|span| span.name()) };
    /// let task = info_span!("order").in_scope(|| tokio::spawn(name.with_current_span()));
    /// assert_eq!(task.await.unwrap(), Some("order"));
    /// # });
    /// ```
    #[track_caller]
    fn with_current_span(self) -> WithContext<Self, TracingSnapshot> {
        self.with_current()
    }
}

impl<T> PropagateSpan for T {}
