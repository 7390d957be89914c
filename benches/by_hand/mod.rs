//! Publishing and processing as one writes it without this crate: a map of headers, the SDK's propagator, and a span for
//! each side, named and described as the semantic conventions ask.
//!
//! There is less in it than in `ctxhop::queue`: no metrics, no delivery count, no time in the queue, no error status, and
//! nothing comes back when a handler fails.

#![allow(dead_code, reason = "to measure what is queued, nothing is processed")]

use std::collections::HashMap;

use async_channel::{Receiver, Sender};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    propagation::TextMapPropagator,
    trace::{Link, SpanKind, TraceContextExt, Tracer},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

pub(crate) type Headers = HashMap<String, String>;

pub(crate) async fn publish<T, V>(tracer: &T, tx: &Sender<(Headers, V)>, value: V)
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    let span = tracer
        .span_builder("send orders")
        .with_kind(SpanKind::Producer)
        .with_attributes(attributes("send"))
        .start(tracer);
    let cx = Context::current_with_span(span);
    let mut headers = Headers::new();
    TraceContextPropagator::new().inject_context(&cx, &mut headers);
    let sent = tx.send((headers, value)).with_context(cx.clone()).await;
    cx.span().end();
    sent.expect("the receiver is here");
}

pub(crate) async fn process<T, V, R>(tracer: &T, rx: &Receiver<(Headers, V)>, handle: impl AsyncFnOnce(V) -> R) -> R
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    let (headers, value) = rx.recv().await.expect("the sender is here");
    let sender = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let current = Context::current();
    // The conventions' parent: the span that is current here, or else the message's.
    let parent = if current.has_active_span() { current } else { sender.clone() };
    let span = tracer
        .span_builder("process orders")
        .with_kind(SpanKind::Consumer)
        .with_links(vec![Link::with_context(sender.span().span_context().clone())])
        .with_attributes(attributes("process"))
        .start_with_context(tracer, &parent);
    let cx = parent.with_span(span);
    let done = handle(value).with_context(cx.clone()).await;
    cx.span().end();
    done
}

fn attributes(operation: &'static str) -> [KeyValue; 4] {
    [
        KeyValue::new("messaging.system", "in_memory"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", "orders"),
    ]
}
