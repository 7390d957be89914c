//! What keeps a span open, and how to let it go.
//!
//! Whatever holds a request's context can keep the request's span open: the span then ends late, its duration says nothing, and
//! until it ends, no backend sees it. There are two rules:
//!
//! - **A span of OpenTelemetry** ends when somebody calls `end()` on it, or when its last [`Context`](opentelemetry::Context) goes.
//! - **A span of `tracing`** closes when its last handle goes. With tracing-opentelemetry, that is when it ends. A
//!   [`TracingSnapshot`](crate::tracing::TracingSnapshot) holds a handle and a context.
//!
//! A hop holds the context until its work is done, and not longer. So the question at each place is: when is the work done? In most
//! programs it is done before the request is. These are the places where it is not:
//!
//! | what holds the span | until | the call that does not |
//! |---|---|---|
//! | a fire-and-forget task | it has finished, after the response | [`spawn_parent_only`](crate::tokio::spawn_parent_only) |
//! | an accept loop, a purge task, a client's worker | the process ends | [`spawn_detached`](crate::tokio::spawn_detached), for [threads](crate::thread::spawn_detached) too |
//! | a pooled connection, spawned by a client | the pool closes it | the bare executor, instead of [`Propagating`](crate::executor::Propagating) |
//! | a task of a `JoinSet` that nobody joins | it has finished, or the set is dropped | join or abort it; `set.spawn_with_context(cx.parent_only(), fut)` |
//! | a queued message | it is received and its work is done | [`send_parent_only`](crate::channel::SendWithContext::send_parent_only) |
//! | the last value of a `watch` | the next send, if there is one | [`send_replace_parent_only`](crate::channel::tokio::WatchSenderExt::send_replace_parent_only) |
//! | what a `broadcast` has in its buffer | each receiver has fetched it, or it is overwritten | `tx.send_parent_only(value)` |
//! | a callback that is registered | it is deregistered | `register(cx.parent_only().wrap_fn(f))` |
//! | a `Shared` future that nobody polls to its end | its last clone goes | `fut.with_context(cx.parent_only()).shared()` |
//! | a stream, sink or iterator that has ended and is kept | it is dropped | [`into_inner`](crate::WithContext::into_inner) |
//! | a guard that is forgotten (`mem::forget`) | its thread ends; a span of `tracing` never closes | [`run`](crate::Snapshot::run) instead of [`attach`](crate::Snapshot::attach) |
//!
//! With spans of `tracing`, the calls have twins: [`tracing::tokio::spawn_parent_only`](crate::tracing::tokio::spawn_parent_only),
//! `tx.send_parent_span_only(value)`, [`TracingSnapshot::parent_only`](crate::tracing::TracingSnapshot::parent_only).
//!
//! # Parent only, or detached
//!
//! `parent_only` keeps the identity of the span, but not the span. The work stays in the trace, below the same parent, and may go on
//! long after its parent has ended. What it gives up: through it, nobody can set an attribute on the parent, and log lines lack the
//! fields of `tracing`'s span.
//!
//! `detached` leaves the trace. It is right for work that serves many requests. A trace of a worker that lives for a month, below
//! the request that happened to come first, misleads whoever reads it.
//!
//! # End it by hand
//!
//! Where you cannot change what holds the context, end the span when the request is done:
//!
//! ```
//! use ctxhop::{Propagate, testing::TraceRecorder};
//! use opentelemetry::{Context, trace::{TraceContextExt, Tracer}};
//!
//! let recorder = TraceRecorder::new();
//! let request = Context::new().with_span(recorder.tracer("shop").start("request"));
//! let held_for_long = "message".with_context(request.clone());
//!
//! request.span().end();
//! assert!(recorder.open_spans().is_empty());
//! # drop(held_for_long);
//! ```
//!
//! An end is final: attributes and events that are set later are lost, and a second `end()` does nothing. It works with
//! tracing-opentelemetry too, for the span of OpenTelemetry: `span.context().span().end()`. The span of `tracing` stays open, and
//! with it the fields of log lines.
//!
//! # Find what holds it
//!
//! [`TraceRecorder::open_spans`](crate::testing::TraceRecorder::open_spans) lists the spans that are still open. Check it at the end
//! of a test: `assert!(recorder.open_spans().is_empty())`, or, where work is still about to end,
//! [`wait_until`](crate::testing::TraceRecorder::wait_until). A drawing of the tree cannot show it: a span that is open is not in it.
