//! A million messages, many producers and consumers, and a tenth of the handling goes wrong. In a binary of its own, as it
//! silences the panic hook.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    task::{self, Waker},
    thread,
};

use ctxhop::{
    messaging::Destination,
    prelude::*,
    propagation::TraceContextPropagator,
    queue::{self, Consumer, Delivery, Publisher},
};
use futures::stream::{self, Stream, StreamExt};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::SdkTracerProvider;

const MESSAGES: u64 = 1_000_000;
const PRODUCERS: u64 = 8;
const CONSUMERS: usize = 8;
const CAPACITY: usize = 100;

#[derive(Default)]
struct Tally {
    deliveries: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    cancelled: AtomicU64,
    redelivered: AtomicU64,
    /// Handlers that saw another message's trace, or threads that saw one after the handler.
    astray: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Each message has a trace of its own, which its number tells.
fn trace(message: u64) -> TraceId {
    TraceId::from(u128::from(message) + 1)
}

fn request(message: u64) -> Context {
    let span_context =
        SpanContext::new(trace(message), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::default());
    Context::new().with_remote_span_context(span_context)
}

fn current_trace() -> TraceId {
    Context::map_current(|cx| cx.span().span_context().trace_id())
}

enum Fate {
    Fails,
    Panics,
    IsCancelled,
    IsDone,
}

/// Of each ten attempts, one goes wrong; the same message not for ever.
fn fate(message: u64, attempt: u64) -> Fate {
    match (message / 10 + message + attempt) % 30 {
        0 => Fate::Fails,
        10 => Fate::Panics,
        20 => Fate::IsCancelled,
        _ => Fate::IsDone,
    }
}

struct Soak {
    tally: Tally,
    acked: Vec<AtomicU8>,
}

impl Soak {
    fn handle(&self, message: u64) {
        count(&self.tally.deliveries);
        if current_trace() != trace(message) {
            count(&self.tally.astray);
        }
    }

    fn process(&self, mut delivery: Delivery<u64>) {
        let message = delivery.payload;
        if delivery.delivery_count() > 1 {
            count(&self.tally.redelivered);
        }
        match fate(message, delivery.delivery_count()) {
            Fate::Fails => {
                count(&self.tally.failed);
                let handled = delivery.process().run(|| {
                    self.handle(message);
                    Err::<(), _>("fails")
                });
                handled.unwrap_err();
                delivery.retry();
            }
            Fate::Panics => {
                count(&self.tally.panicked);
                let handle = || -> () {
                    self.handle(message);
                    panic!("panics");
                };
                catch_unwind(AssertUnwindSafe(move || delivery.process().run(handle))).unwrap_err();
            }
            Fate::IsCancelled => {
                count(&self.tally.cancelled);
                let handle = || async {
                    self.handle(message);
                    pending::<()>().await;
                };
                let mut handling = pin!(async move { delivery.process().run_async(handle).await });
                assert!(handling.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
            }
            Fate::IsDone => {
                delivery.process().run(|| self.handle(message));
                delivery.ack();
                self.acked[message as usize].fetch_add(1, Ordering::Relaxed);
            }
        }
        if current_trace() != TraceId::INVALID {
            count(&self.tally.astray);
        }
    }

    fn consume_blocking(&self, consumer: Consumer<u64>) {
        while let Some(delivery) = consumer.recv_blocking() {
            self.process(delivery);
        }
    }

    async fn consume(&self, deliveries: impl Stream<Item = Delivery<u64>>) {
        let mut deliveries = pin!(deliveries);
        while let Some(delivery) = deliveries.next().await {
            self.process(delivery);
            // The thread goes on to others, who must not see anything of this.
            tokio::task::yield_now().await;
        }
    }
}

/// The messages of one producer.
fn messages(producer: u64) -> impl Iterator<Item = u64> {
    (producer..MESSAGES).step_by(PRODUCERS as usize)
}

fn produce_blocking(publisher: &Publisher<u64>, producer: u64) {
    for message in messages(producer) {
        request(message).run(|| publisher.publish_blocking(message)).unwrap();
    }
}

async fn produce(publisher: Publisher<u64>, producer: u64) {
    for message in messages(producer) {
        request(message).run(|| publisher.publish(message)).await.unwrap();
    }
}

#[test]
fn nothing_is_lost_or_done_twice_or_in_a_strangers_trace() {
    #[cfg(feature = "strict")]
    let strict = ctxhop::strict::install(ctxhop::strict::Config::new());
    std::panic::set_hook(Box::new(|_| ()));
    let destination = Destination::in_memory("soak")
        .with_tracer_provider(&SdkTracerProvider::builder().build())
        .with_propagator(TraceContextPropagator::new());
    let (publisher, consumer) = queue::bounded::<u64>(destination, CAPACITY);
    let soak = Soak { tally: Tally::default(), acked: (0..MESSAGES).map(|_| AtomicU8::new(0)).collect() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();

    // Half of each on threads of their own, half on tasks.
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let publisher = publisher.clone();
            match producer % 2 {
                0 => _ = scope.spawn(move || produce_blocking(&publisher, producer)),
                _ => _ = runtime.spawn(produce(publisher, producer)),
            }
        }
        for at in 0..CONSUMERS {
            let (soak, consumer, runtime) = (&soak, consumer.clone(), &runtime);
            let received =
                |consumer: Consumer<u64>| async { consumer.recv().await.map(|delivery| (delivery, consumer)) };
            scope.spawn(move || match at % 4 {
                0 | 1 => soak.consume_blocking(consumer),
                2 => runtime.block_on(soak.consume(consumer)),
                _ => runtime.block_on(soak.consume(stream::unfold(consumer, received))),
            });
        }
        drop(publisher);
    });

    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let Tally { deliveries, failed, panicked, cancelled, redelivered, astray } = &soak.tally;
    let wrong = get(failed) + get(panicked) + get(cancelled);
    assert!(soak.acked.iter().all(|acked| acked.load(Ordering::Relaxed) == 1), "each is acked once");
    assert_eq!(get(deliveries), MESSAGES + wrong, "what goes wrong is delivered again");
    assert_eq!(get(redelivered), wrong);
    assert_eq!(get(astray), 0);
    for counter in [failed, panicked, cancelled] {
        assert!(get(counter) >= MESSAGES / 40, "a tenth goes wrong: {}", get(counter));
    }
    assert!(consumer.is_empty() && consumer.is_closed());
    assert_eq!(consumer.try_recv().unwrap_err(), queue::TryRecvError::Closed);
    #[cfg(feature = "strict")]
    strict.assert_clean();
}
