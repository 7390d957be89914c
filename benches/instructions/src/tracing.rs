//! A poll of a service on `tracing`: one global subscriber, and no span around the poll.

use std::{
    pin::Pin,
    task::{self, Poll},
};

use ctxhop::{Propagate, tracing::TracingSnapshot};
use opentelemetry::{Context, context::FutureExt, trace::TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use pin_project_lite::pin_project;
use tracing::{Instrument, Span, info_span, subscriber};
use tracing_subscriber::{Registry, layer::SubscriberExt};

use crate::{Case, endless, polls};

pub(crate) const CASES: &[Case] = &[
    ("poll in a span", "Instrument", |rounds| polls(rounds, request(|| endless().in_current_span()))),
    ("poll in a span", "with an attach", |rounds| {
        polls(rounds, request(|| FutureExt::with_context(endless().in_current_span(), Context::current())));
    }),
    ("poll in a span", "by hand", |rounds| {
        polls(rounds, request(|| Looking { span: Span::current(), context: Context::current(), future: endless() }));
    }),
    ("poll in a span", "ctxhop", |rounds| polls(rounds, request(|| endless().with_current::<TracingSnapshot>()))),
];

fn request<F>(capture: impl FnOnce() -> F) -> F {
    let tracer = SdkTracerProvider::default().tracer("instructions");
    let subscriber = Registry::default().with(tracing_opentelemetry::layer().with_tracer(tracer));
    subscriber::set_global_default(subscriber).expect("the first");
    info_span!("request", id = 7).in_scope(capture)
}

pin_project! {
    /// The least that makes one span and one context current, and no other: it looks whether another span is entered, enters
    /// its own, and attaches the context.
    struct Looking<F> {
        span: Span,
        context: Context,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Looking<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let other = this.span.with_subscriber(|(_, subscriber)| subscriber.current_span().id().is_some());
        assert_ne!(other, Some(true));
        let _entered = this.span.enter();
        let _attached = this.context.clone().attach();
        this.future.poll(task)
    }
}
