//! What a poll costs a service on `tracing`, beside `Instrument` with OpenTelemetry's `with_context` around it.
//!
//! ```sh
//! cargo bench --bench tracing
//! ```
//!
//! All ways poll the same future in the same span, of a registry with an OpenTelemetry layer. It prints medians of ratios
//! of runs that alternate, so that a busy machine is busy for all of them alike. `global` is what services have: one
//! subscriber, the global one. `scoped` is what tests have: the thread has its own; there `Instrument` carries less.
//! `nested` polls inside another span, which ctxhop sets aside; `same` inside the captured one, which it does not enter again.

mod measure;

use std::{
    hint::black_box,
    pin::{Pin, pin},
    task::{self, Poll, Waker},
};

use ctxhop::{Propagate, tracing::TracingSnapshot};
use measure::compare;
use opentelemetry::{Context, context::FutureExt, trace::TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;

use tracing::{Instrument, Span, info_span, instrument::WithSubscriber, subscriber};
use tracing_subscriber::{Registry, layer::SubscriberExt};

const POLLS: usize = 10_000;
const ROUNDS: usize = 301;

fn main() {
    let tracer = SdkTracerProvider::default().tracer("bench");
    let subscriber = || Registry::default().with(tracing_opentelemetry::layer().with_tracer(tracer.clone()));
    subscriber::set_global_default(subscriber()).expect("the first");

    let request = info_span!("request", id = 7);
    request.in_scope(|| polls("global", Span::none()));
    request.in_scope(|| polls("nested", info_span!("other")));
    request.in_scope(|| polls("same", Span::current()));
    subscriber::with_default(subscriber(), || info_span!("request", id = 7).in_scope(|| polls("scoped", Span::none())));
}

/// Captures here, and polls in `around` alone, on another thread.
fn polls(name: &str, around: Span) {
    let instrumented = FutureExt::with_context(endless().in_current_span(), Context::current());
    let dispatched = FutureExt::with_context(endless().in_current_span().with_current_subscriber(), Context::current());
    let ctxhop = endless().with_current::<TracingSnapshot>();
    let pair = endless().with_current::<(Span, Context)>();
    std::thread::spawn({
        let name = name.to_owned();
        move || {
            let _around = around.entered();
            let mut instrumented = pin!(instrumented);
            let mut dispatched = pin!(dispatched);
            let mut ctxhop = pin!(ctxhop);
            let mut pair = pin!(pair);
            compare(
                &format!("{name}, {POLLS} polls"),
                ROUNDS,
                &mut [
                    ("Instrument and with_context", &mut || poll(instrumented.as_mut())),
                    ("TracingSnapshot", &mut || poll(ctxhop.as_mut())),
                    ("(Span, Context)", &mut || poll(pair.as_mut())),
                    ("Instrument, WithDispatch and with_context", &mut || poll(dispatched.as_mut())),
                ],
            );
        }
    })
    .join()
    .expect("no panic");
}

fn poll(mut future: Pin<&mut impl Future>) {
    let mut task = task::Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        assert!(black_box(future.as_mut().poll(&mut task)).is_pending());
    }
}

fn endless() -> impl Future<Output = ()> {
    std::future::poll_fn(|_| black_box(Poll::Pending))
}
