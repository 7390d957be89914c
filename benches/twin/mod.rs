//! The queue as one writes it by hand if it is to give the same: a bounded queue, first come, first served, whose messages go
//! back unless they are settled, with the delivery count, the time in the queue, linked attempts, and errors on the spans.
//!
//! It has our headers, and our propagator unless it is given another. It has no metrics; ours go nowhere in the benches, because no provider of meters
//! is installed.

#![allow(dead_code, reason = "each bench uses its part")]

use std::{
    fmt::Display,
    sync::Arc,
    time::{Instant, SystemTime},
};

use async_channel::{Receiver, Sender};
use ctxhop::{
    carrier::{self, Headers},
    propagation::TraceContextPropagator,
};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    propagation::TextMapPropagator,
    trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, Tracer},
};
use tokio::sync::Semaphore;

pub(crate) struct Queue<T, V, P = TraceContextPropagator> {
    tracer: T,
    propagator: P,
    room: Arc<Semaphore>,
    tx: Sender<Envelope<V>>,
    rx: Receiver<Envelope<V>>,
}

struct Envelope<V> {
    headers: Headers,
    value: V,
    deliveries: i64,
    attempt: Option<SpanContext>,
    since: Instant,
}

pub(crate) struct Delivery<V> {
    envelope: Option<Envelope<V>>,
    tx: Sender<Envelope<V>>,
}

impl<T, V> Queue<T, V>
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    pub(crate) fn new(tracer: T, capacity: usize) -> Self {
        Self::with_propagator(tracer, capacity, TraceContextPropagator::new())
    }
}

impl<T, V, P> Queue<T, V, P>
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
    P: TextMapPropagator,
{
    pub(crate) fn with_propagator(tracer: T, capacity: usize, propagator: P) -> Self {
        let (tx, rx) = async_channel::unbounded();
        let room = Arc::new(Semaphore::new(capacity));
        Self { tracer, propagator, room, tx, rx }
    }

    pub(crate) async fn publish(&self, value: V) {
        let builder = self.tracer.span_builder("send orders").with_kind(SpanKind::Producer);
        let span = builder.with_start_time(SystemTime::now()).with_attributes(attributes("send")).start(&self.tracer);
        let cx = Context::current_with_span(span);
        let mut headers = Headers::new();
        carrier::inject_with(&self.propagator, &cx, &mut headers);
        let put = async {
            self.room.acquire().await.expect("nobody closes it").forget();
            let envelope = Envelope { headers, value, deliveries: 0, attempt: None, since: Instant::now() };
            self.tx.send(envelope).await.is_ok()
        };
        let sent = put.with_context(cx.clone()).await;
        cx.span().end();
        assert!(sent, "the receiver is here");
    }

    pub(crate) async fn recv(&self) -> Delivery<V> {
        let mut envelope = self.rx.recv().await.expect("the sender is here");
        if envelope.deliveries == 0 {
            self.room.add_permits(1);
        }
        envelope.deliveries += 1;
        Delivery { envelope: Some(envelope), tx: self.tx.clone() }
    }

    pub(crate) async fn process<R, E>(
        &self,
        delivery: &mut Delivery<V>,
        handle: impl Future<Output = Result<R, E>>,
    ) -> Result<R, E>
    where
        E: Display,
    {
        let envelope = delivery.envelope.as_mut().expect("it is not settled");
        let sender = carrier::extract_with(&self.propagator, &envelope.headers);
        let mut links = vec![Link::with_context(sender.span().span_context().clone())];
        if let Some(attempt) = envelope.attempt.take() {
            links.push(Link::new(attempt, vec![KeyValue::new("link", "previous attempt")], 0));
        }
        let current = Context::current();
        let parent = if current.has_active_span() { current } else { sender };
        let mut described = attributes("process").to_vec();
        described.push(KeyValue::new("ctxhop.delivery_count", envelope.deliveries));
        described.push(KeyValue::new("time_in_queue", envelope.since.elapsed().as_secs_f64()));
        let builder = self.tracer.span_builder("process orders").with_kind(SpanKind::Consumer).with_links(links);
        let span = builder
            .with_start_time(SystemTime::now())
            .with_attributes(described)
            .start_with_context(&self.tracer, &parent);
        let cx = parent.with_span(span);
        envelope.attempt = Some(cx.span().span_context().clone());
        let handled = handle.with_context(cx.clone()).await;
        let span = cx.span();
        if let Err(error) = &handled {
            span.set_attribute(KeyValue::new("error.type", std::any::type_name::<E>()));
            span.set_status(Status::error(error.to_string()));
        }
        span.end();
        handled
    }
}

impl<V: Clone> Delivery<V> {
    pub(crate) fn value(&self) -> V {
        self.envelope.as_ref().expect("it is not settled").value.clone()
    }

    pub(crate) fn ack(mut self) {
        drop(self.envelope.take());
    }
}

impl<V> Drop for Delivery<V> {
    fn drop(&mut self) {
        if let Some(mut envelope) = self.envelope.take() {
            envelope.since = Instant::now();
            let _ = self.tx.try_send(envelope);
        }
    }
}

fn attributes(operation: &'static str) -> [KeyValue; 4] {
    [
        KeyValue::new("messaging.system", "in_memory"),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", "orders"),
    ]
}
