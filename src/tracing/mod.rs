//! [`tracing`], and with it the OpenTelemetry context, across every hop.
//!
//! A service on `tracing` that exports through tracing-opentelemetry has three things current: the OpenTelemetry context,
//! the [`Span`](::tracing::Span), whose fields its log lines have, and the thread's default subscriber. All three make a
//! [`TracingSnapshot`]. Choose it once, in the imports, and the calls stay what they are:
//!
//! ```
//! use ctxhop::tracing::tokio::spawn;
//! use tracing::{Span, info_span};
//! # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let _default = tracing::subscriber::set_default(tracing_subscriber::registry());
//! let task = info_span!("order", id = 7).in_scope(|| spawn(async { Span::current().metadata().map(|span| span.name()) }));
//! assert_eq!(task.await.unwrap(), Some("order"));
//! # }
//! ```
//!
//! [`ctxhop::tracing::prelude`](prelude) has the methods: those of [`ctxhop::prelude`](crate::prelude), and for each that
//! ends in `_with_current_context` one that ends in `_with_current_span`.
//!
//! | bare | with span, subscriber and context |
//! |---|---|
//! | `std::thread::spawn(f)` | [`ctxhop::tracing::thread::spawn(f)`](thread::spawn) |
//! | `tokio::spawn(fut)`, `spawn_blocking`, `spawn_local` | [`ctxhop::tracing::tokio::spawn(fut)`](tokio::spawn) … |
//! | `rayon::join(a, b)`, `scope`, `spawn`, `broadcast` … | [`ctxhop::tracing::rayon::join(a, b)`](rayon::join) … |
//! | `set.spawn(fut)`, `builder.spawn(f)`, `scope.spawn(f)` | `set.spawn_with_current_span(fut)` … |
//! | `pool.install(f)` | `pool.install_with_current_span(f)` |
//! | `pool.execute(f)` | `pool.execute(`[`ctxhop::tracing::wrap(f)`](wrap)`)` |
//! | `par.map(f).for_each(g)` | `par.inside_current_span(\|it\| it.map(f)).for_each(g)` |
//! | `tx.send(value)` | `tx.send_with_current_span(value)`; `tx.send_parent_span_only(value)`, which keeps no span open |
//! | `stream`, or any other value | `stream.with_current_span()` |
//! | `Server::new(executor)` | `Server::new(`[`ctxhop::tracing::executor::Propagating`](executor::Propagating)`::capturing(executor))` |
//! | `fut.instrument(span)` | the same; or `fut.with_context(span)`, which lets the span go when the work is done |
//! | a long-lived worker: `tokio::spawn(fut)` | [`ctxhop::tracing::tokio::spawn_detached(fut)`](tokio::spawn_detached), [`spawn_parent_only`](tokio::spawn_parent_only) |
//!
//! A channel's element type is then `WithContext<T, TracingSnapshot>`. A span or a subscriber alone is a [`Snapshot`], too.
//! [`detached()`](crate::Propagate::detached) knows of the OpenTelemetry context alone: a task on a current-thread runtime
//! still sees the span that is entered around `block_on`. `with_context(TracingSnapshot::none())` hides that one, too.
//!
//! [What keeps a span open](crate::manual::open_spans) lists what holds a span longer than one expects, with the call that does not.
//! Have clippy refuse the calls that lose the span: `lint-check/clippy-tracing.toml` in the repository is for that.
//!
//! # Messages
//!
//! You need no `set_parent`: a new span is the child of the current context. So
//! `carrier::extract(&headers).run(|| info_span!("request"))` continues the sender's trace, and inside
//! `orders.process(&headers).run_async(…)` (feature `messaging`) a span is the child of the consumer's. This takes the
//! layer's context activation, which is its default.
//!
//! The consumer's span is not a span of `tracing`. Log lines of its work have the fields of the `tracing` span that is current
//! where it runs, a worker's for instance, and are that span's events. So open a span in the work:
//! `orders.process(&headers).run_async(|| handle().instrument(info_span!("handle")))`. If a worker has a span of its own, that
//! one is the consumer's parent, unless `Relation` says otherwise.
//!
//! # Limits
//!
//! - The hops that carry the OpenTelemetry context alone (`ctxhop::tokio::spawn`, `send_with_current_context`) keep traces
//!   whole, with the layer's context activation, which is its default. Log lines behind them have no span's fields.
//! - A hop can set aside the spans that others have entered on a thread, if the subscriber has tracing-subscriber's
//!   `Registry`, which tracing-opentelemetry needs. With another subscriber, a hop without a span sees the span that its
//!   thread is in.
//! - Setting aside more than one span takes an allocation. The first guard of a thread takes one too.
//! - Leave a span after the hop has put it back. If it is left while it is set aside (somebody drops a guard of `span.enter()`
//!   before the hop's guard), it is current on its thread again until it closes.
//! - Layers that remember spans in thread-locals of their own, as `EnvFilter` does for directives with spans, do not learn
//!   what is set aside, and still go by it. With `Instrument` they do so, too.
//! - While a thread ends, its layers may be gone. A wrapped value still works there, without span and context; a guard that
//!   was kept until then detaches nothing, so that its span stays open. Nobody knows the thread-locals of all layers: if only
//!   others have entered spans on a thread, and a thread-local of yours drops work after theirs are gone, that work ends as it
//!   ends with `Instrument`.
//! - If the captured span does not pass a layer's filter, that layer sees no span in its place. It does not see the spans
//!   around it either, because they are not captured.

pub mod channel;
#[cfg(any(feature = "futures", feature = "hyper"))]
pub mod executor;
mod guard;
mod propagate;
#[cfg(feature = "rayon")]
pub mod rayon;
mod registry;
mod snapshot;
mod span;
mod subscriber;
pub mod thread;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use guard::Guard;
pub use propagate::PropagateSpan;
pub use snapshot::TracingSnapshot;

/// All of [`ctxhop::prelude`](crate::prelude), and the methods that carry `tracing`'s span: `use ctxhop::tracing::prelude::*;`.
///
/// Both preludes can be imported in one module: no method of one has the name of another one's. No method here has the name of a
/// method of [`tracing::Instrument`].
pub mod prelude {
    pub use super::{
        PropagateSpan, TracingSnapshot,
        channel::{AsyncSendWithCurrentSpan as _, SendWithCurrentSpan as _, TrySendWithCurrentSpan as _},
        thread::{BuilderExt as _, ScopeExt as _},
    };
    pub use crate::prelude::*;

    #[cfg(feature = "crossbeam-channel")]
    #[doc(no_inline)]
    pub use super::channel::CrossbeamSenderExt as _;
    #[cfg(feature = "rayon")]
    #[doc(no_inline)]
    pub use super::rayon::{ParallelIteratorExt as _, ScopeExt as _, ScopeFifoExt as _, ThreadPoolExt as _};
    #[cfg(feature = "tokio-util")]
    #[doc(no_inline)]
    pub use super::tokio::TaskTrackerExt as _;
    #[cfg(feature = "tokio")]
    #[doc(no_inline)]
    pub use super::{
        channel::{TokioSenderExt as _, TokioWatchSenderExt as _},
        tokio::{HandleExt as _, JoinSetExt as _, LocalSetExt as _, RuntimeExt as _},
    };
}

use crate::Snapshot;

/// Wraps a closure that runs once, to run in the [`TracingSnapshot`] of now: `TracingSnapshot::capture().wrap(f)`.
///
/// Like [`ctxhop::wrap`](crate::wrap).
#[must_use = "the closure does nothing unless called"]
#[track_caller]
pub fn wrap<F, R>(f: F) -> impl FnOnce() -> R
where
    F: FnOnce() -> R,
{
    TracingSnapshot::capture().wrap(f)
}
