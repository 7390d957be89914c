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
//! The methods named `…_with_current_context`, and `in_current_context`, carry the OpenTelemetry context alone; instead of
//! them there is `with_current::<TracingSnapshot>()`:
//!
//! | bare | with all of it |
//! |---|---|
//! | `std::thread::spawn(f)` | [`ctxhop::tracing::thread::spawn(f)`](thread::spawn) |
//! | `tokio::spawn(fut)`, `spawn_blocking`, `spawn_local` | [`ctxhop::tracing::tokio::spawn(fut)`](tokio::spawn) … |
//! | `rayon::join(a, b)`, `scope`, `spawn`, `broadcast` … | [`ctxhop::tracing::rayon::join(a, b)`](rayon::join) … |
//! | `pool.execute(f)`, `pool.install(f)`, `builder.spawn(f)` | `pool.execute(`[`ctxhop::tracing::wrap(f)`](wrap)`)` … |
//! | `set.spawn(fut)`, `handle.spawn(fut)`, `spawner.spawn(fut)` | `set.spawn(fut.with_current::<TracingSnapshot>())` … |
//! | `scope.spawn(move \|scope\| body(scope))` | `let body = body.with_current::<TracingSnapshot>();`<br>`scope.spawn(move \|scope\| body.run(\|body\| body(scope)))` |
//! | `par.map(f).for_each(g)` | `par.in_context(TracingSnapshot::capture(), \|it\| it.map(f)).for_each(g)` |
//! | `tx.send(value)` | `tx.send(value.with_current::<TracingSnapshot>())` |
//! | `stream` | `stream.with_current::<TracingSnapshot>()` |
//! | `Server::new(executor)` | `Server::new(Propagating::<_, TracingSnapshot>::capturing(executor))` |
//! | `fut.instrument(span)` | the same; or `fut.with_context(span)`, which lets the span go when the work is done |
//! | `tokio::spawn(fut.detached())` | `tokio::spawn(fut.with_context(TracingSnapshot::none()))` |
//!
//! A channel's element type is then `WithContext<T, TracingSnapshot>`. A span or a subscriber alone is a [`Snapshot`], too.
//!
//! # Messages
//!
//! No `set_parent` is needed: a new span is the child of the current context. So
//! `carrier::extract(&headers).run(|| info_span!("request"))` continues the sender's trace, and inside
//! `orders.process(&headers).run_async(…)` (feature `messaging`) a span is the child of the consumer's. That takes the
//! layer's context activation, which is its default. The consumer's span is no span of `tracing`: log lines of its work
//! have the fields, and are the events, of the span of `tracing` that is current where it runs, a worker's for instance.
//! So open a span in the work: `orders.process(&headers).run_async(|| handle().instrument(info_span!("handle")))`. Where a
//! worker has a span of its own, that is the consumer's parent, unless `Relation` says otherwise.
//!
//! # Limits
//!
//! - The hops that carry the OpenTelemetry context alone (`ctxhop::tokio::spawn`, `send_with_current_context`) keep traces
//!   whole, with the layer's context activation, which is its default. Log lines behind them have no span's fields.
//! - What others have entered on a thread can be set aside in tracing-subscriber's `Registry`, which tracing-opentelemetry
//!   needs. With a subscriber that is no such thing, a hop without a span sees the span that its thread is in.
//! - To set aside more than one span takes an allocation; so does the first guard of a thread.
//! - What is set aside is to be left after it was put back. A span that is left meanwhile (a guard of `span.enter()` that
//!   is dropped before the hop's is) is current on its thread again until it closes.
//! - Layers that remember spans in thread-locals of their own, as `EnvFilter` does for directives with spans, are not told
//!   what is set aside, and still go by it; so they do with `Instrument`.
//! - A thread that ends drops what was attached there, but cannot know the thread-locals of all layers: work that is dropped
//!   by a thread-local of yours, after theirs are gone, ends as it ends with `Instrument`.
//! - A layer whose filter the captured span does not pass sees no span in its place: not those around it, which are not
//!   captured.

mod guard;
#[cfg(feature = "rayon")]
pub mod rayon;
mod snapshot;
mod span;
mod subscriber;
pub mod thread;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use guard::Guard;
pub use snapshot::TracingSnapshot;

use crate::Snapshot;

/// Wraps a closure that runs once, to run in the [`TracingSnapshot`] of now: `TracingSnapshot::capture().wrap(f)`.
///
/// Like [`ctxhop::wrap`](crate::wrap).
#[must_use = "the closure does nothing unless called"]
pub fn wrap<F, R>(f: F) -> impl FnOnce() -> R
where
    F: FnOnce() -> R,
{
    TracingSnapshot::capture().wrap(f)
}
