//! How many instructions a hop executes, counted by callgrind: so exactly that two percent more show on a busy machine.
//!
//! ```sh
//! cargo run --release --manifest-path benches/instructions/Cargo.toml               # fails if a hop of ours has grown
//! cargo run --release --manifest-path benches/instructions/Cargo.toml -- --record   # writes the record, record.txt
//! ```
//!
//! Needs valgrind. Each case runs in processes of its own, one with `ROUNDS` rounds and one with twice as many; the
//! difference is what the rounds take, without the start of the process. Another version of the compiler, libc or valgrind
//! makes something else of the same code. With one, this shows the figures and which version differs, and never fails.

mod baggage;
#[path = "../../by_hand/mod.rs"]
mod by_hand;
mod channels;
mod goals;
mod parallel;
mod tracing;
#[path = "../../twin/mod.rs"]
mod twin;

use std::{
    collections::HashMap,
    env,
    error::Error,
    fmt::Write as _,
    fs, future,
    hint::black_box,
    pin::{Pin, pin},
    process::{Command, ExitCode, Stdio},
    task::{self, Poll, Waker},
    time::Duration,
};

use ctxhop::{
    WithContext,
    carrier::{self, Headers},
    messaging::Destination,
    prelude::*,
    propagation::TraceContextPropagator,
    queue,
};
use futures::Stream;
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{
        Link, SpanBuilder, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
        TracerProvider,
    },
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{PeriodicReader, SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    propagation::TraceContextPropagator as SdkPropagator,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor, TracerProviderBuilder},
};
use tokio::{runtime, sync::mpsc};

const ROUNDS: u32 = 2_000;
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/record.txt");
const RECORD_ANEW: &str = "cargo run --release --manifest-path benches/instructions/Cargo.toml -- --record";
/// Above this, in percent, a hop has grown. A build in another directory may differ by 0.3 %.
const TOLERANCE: f64 = 1.5;

/// A hop and whose it is, with what does it so many times. Ours are recorded, the others are there to compare with.
type Case = (&'static str, &'static str, fn(u32));

/// All of them, in the order of the report.
fn cases() -> Vec<Case> {
    let channels = channels::CASES.iter().flatten();
    CASES.iter().chain(channels).chain(parallel::CASES).chain(tracing::CASES).copied().collect()
}

const CASES: &[Case] = &[
    ("attach", "bare", |rounds| with(rounds, |cx| drop(black_box(cx.clone())))),
    ("attach", "opentelemetry", |rounds| with(rounds, |cx| drop(black_box(cx.clone().attach())))),
    ("attach", "ctxhop", |rounds| with(rounds, |cx| drop(black_box(Snapshot::attach(cx.clone()))))),
    ("run", "by hand", |rounds| {
        with(rounds, |cx| {
            let _guard = cx.clone().attach();
            black_box(7);
        });
    }),
    ("run", "ctxhop", |rounds| with(rounds, |cx| _ = cx.run(|| black_box(7)))),
    ("poll", "bare", |rounds| polls(rounds, endless())),
    ("poll", "opentelemetry", |rounds| polls(rounds, FutureExt::with_context(endless(), context()))),
    ("poll", "ctxhop", |rounds| polls(rounds, Propagate::with_context(endless(), context()))),
    ("poll of a stream", "bare", |rounds| pulls(rounds, futures::stream::repeat(7))),
    ("poll of a stream", "opentelemetry", |rounds| {
        pulls(rounds, FutureExt::with_context(futures::stream::repeat(7), context()));
    }),
    ("poll of a stream", "ctxhop", |rounds| {
        pulls(rounds, Propagate::with_context(futures::stream::repeat(7), context()));
    }),
    ("spawn and join", "bare", |rounds| {
        block_on(async move {
            for _ in 0..rounds {
                tokio::spawn(work()).await.expect("the work does not panic");
            }
        })
    }),
    ("spawn and join", "by hand", |rounds| {
        block_on(async move {
            for _ in 0..rounds {
                let cx = Context::current();
                let attached = async move {
                    let mut work = pin!(work());
                    future::poll_fn(|task| {
                        let _guard = cx.clone().attach();
                        work.as_mut().poll(task)
                    })
                    .await
                };
                tokio::spawn(attached).await.expect("the work does not panic");
            }
        })
    }),
    ("spawn and join", "opentelemetry", |rounds| {
        block_on(async move {
            for _ in 0..rounds {
                tokio::spawn(FutureExt::with_current_context(work())).await.expect("the work does not panic");
            }
        })
    }),
    ("spawn and join", "ctxhop", |rounds| {
        block_on(async move {
            for _ in 0..rounds {
                ctxhop::tokio::spawn(work()).await.expect("the work does not panic");
            }
        })
    }),
    ("channel", "bare", |rounds| {
        block_on(async move {
            let (tx, mut rx) = mpsc::channel(1);
            for _ in 0..rounds {
                tx.send(black_box(7)).await.expect("the receiver is here");
                black_box(rx.recv().await.expect("the sender is here"));
            }
        })
    }),
    ("channel", "by hand", |rounds| {
        block_on(async move {
            let (tx, mut rx) = mpsc::channel(1);
            for _ in 0..rounds {
                tx.send((black_box(7), Context::current())).await.expect("the receiver is here");
                let (value, cx) = rx.recv().await.expect("the sender is here");
                let _guard = cx.attach();
                black_box(value);
            }
        })
    }),
    ("channel", "ctxhop", |rounds| {
        block_on(async move {
            let (tx, mut rx) = mpsc::channel::<WithContext<i32>>(1);
            for _ in 0..rounds {
                tx.send_with_current_context(black_box(7)).await.expect("the receiver is here");
                rx.recv().await.expect("the sender is here").run(black_box);
            }
        })
    }),
    ("inject", "SDK, HashMap", |rounds| {
        let propagator = SdkPropagator::new();
        with(rounds, |cx| {
            let mut headers = HashMap::<String, String>::new();
            propagator.inject_context(cx, &mut headers);
            black_box(headers);
        });
    }),
    ("inject", "ctxhop", |rounds| {
        let propagator = TraceContextPropagator::new();
        with(rounds, |cx| {
            let mut headers = Headers::new();
            carrier::inject_with(&propagator, cx, &mut headers);
            black_box(headers);
        });
    }),
    ("extract", "SDK, HashMap", |rounds| {
        let propagator = SdkPropagator::new();
        let mut headers = HashMap::<String, String>::new();
        propagator.inject_context(&context(), &mut headers);
        with(rounds, |_| drop(propagator.extract_with_context(&Context::new(), black_box(&headers))));
    }),
    ("extract", "ctxhop", |rounds| {
        let propagator = TraceContextPropagator::new();
        let mut headers = Headers::new();
        carrier::inject_with(&propagator, &context(), &mut headers);
        with(rounds, |_| drop(carrier::extract_with(&propagator, black_box(&headers))));
    }),
    ("inject a member", "SDK, HashMap", baggage::inject_by_sdk),
    ("inject a member", "ctxhop", baggage::inject),
    ("extract a member", "the API alone", baggage::extract_by_nobody),
    ("extract a member", "SDK, HashMap", baggage::extract_by_sdk),
    ("extract a member", "ctxhop", baggage::extract),
    ("publish + process", "by hand", |rounds| {
        let tracer = SdkTracerProvider::builder().with_span_processor(Discard).build().tracer("instructions");
        block_on(async move {
            let (tx, rx) = async_channel::bounded(1);
            for _ in 0..rounds {
                by_hand::publish(&tracer, &tx, 7).await;
                by_hand::process(&tracer, &rx, async |value| _ = black_box(value)).await;
            }
        });
    }),
    ("publish + process", "by hand, same", |rounds| block_on(twins(rounds, SdkTracerProvider::builder()))),
    ("publish + process", "ctxhop", |rounds| {
        let orders = Destination::in_memory("orders")
            .with_tracer_provider(&SdkTracerProvider::builder().with_span_processor(Discard).build())
            .with_propagator(TraceContextPropagator::new());
        block_on(async move {
            let (publisher, consumer) = queue::bounded(orders, 1);
            for _ in 0..rounds {
                publisher.publish(7).await.expect("the consumer is here");
                let mut delivery = consumer.recv().await.expect("the publisher is here");
                delivery.process().run_async(|| async { _ = black_box(delivery.payload) }).await;
                delivery.ack();
            }
        });
    }),
    ("… outside a span", "ctxhop", |rounds| queued(rounds, traced(SdkTracerProvider::builder()))),
    ("… not sampled", "without a queue", not_sampled),
    ("… not sampled", "by hand, same", |rounds| {
        outside(twins(rounds, SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff)));
    }),
    ("… not sampled", "ctxhop", |rounds| {
        queued(rounds, traced(SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff)));
    }),
    ("… without an SDK", "ctxhop", |rounds| {
        queued(rounds, Destination::in_memory("orders").with_propagator(TraceContextPropagator::new()));
    }),
    ("… with metrics", "the records alone", records),
    ("… with metrics", "ctxhop", |rounds| {
        let meters = meters();
        queued(rounds, traced(SdkTracerProvider::builder()).with_meter_provider(&meters));
    }),
];

fn traced(provider: TracerProviderBuilder) -> Destination {
    Destination::in_memory("orders")
        .with_tracer_provider(&provider.with_span_processor(Discard).build())
        .with_propagator(TraceContextPropagator::new())
}

/// Outside of any span: where nobody traces, none is current.
fn queued(rounds: u32, orders: Destination) {
    outside(async move {
        let (publisher, consumer) = queue::bounded(orders, 1);
        for _ in 0..rounds {
            publisher.publish(7).await.expect("the consumer is here");
            let mut delivery = consumer.recv().await.expect("the publisher is here");
            delivery.process().run_async(|| async { _ = black_box(delivery.payload) }).await;
            delivery.ack();
        }
    });
}

/// The same by hand.
async fn twins(rounds: u32, provider: TracerProviderBuilder) {
    let tracer = provider.with_span_processor(Discard).build().tracer("instructions");
    let queue = twin::Queue::new(tracer, 1);
    for _ in 0..rounds {
        queue.publish(7).await;
        let mut delivery = queue.recv().await;
        let value = delivery.value();
        let handle = async {
            _ = black_box(value);
            Ok::<_, &str>(())
        };
        queue.process(&mut delivery, handle).await.expect("it does not fail");
        delivery.ack();
    }
}

/// What no queue can do without where nothing is sampled: the sampler is asked twice, with all that the conventions have it
/// told, and the headers are written and read. No clock, no queue, no future.
fn not_sampled(rounds: u32) {
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).with_span_processor(Discard).build();
    let (tracer, propagator) = (provider.tracer("instructions"), TraceContextPropagator::new());
    let described = |operation: &'static str| {
        vec![
            KeyValue::new("messaging.system", "in_memory"),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.destination.name", "orders"),
        ]
    };
    for _ in 0..rounds {
        let send = SpanBuilder {
            name: "send orders".into(),
            span_kind: Some(SpanKind::Producer),
            attributes: Some(described("send")),
            ..SpanBuilder::default()
        };
        let cx = Context::new().with_span(tracer.build_with_context(send, &Context::new()));
        let mut headers = Headers::new();
        carrier::inject_with(&propagator, &cx, &mut headers);
        drop(cx);
        let parent = carrier::extract_with(&propagator, black_box(&headers));
        let process = SpanBuilder {
            name: "process orders".into(),
            span_kind: Some(SpanKind::Consumer),
            attributes: Some(described("process")),
            links: Some(vec![Link::with_context(parent.span().span_context().clone())]),
            ..SpanBuilder::default()
        };
        drop(black_box(parent.with_span(tracer.build_with_context(process, &parent))));
    }
}

/// The four records of a message, with attributes that are made once.
fn records(rounds: u32) {
    let meter = meters().meter("instructions");
    let counter = |name: &'static str| meter.u64_counter(name).build();
    let histogram = |name: &'static str| meter.f64_histogram(name).build();
    let (sent, consumed) = (counter("sent"), counter("consumed"));
    let (operation, process) = (histogram("operation"), histogram("process"));
    let described = |operation: &'static str| {
        [
            KeyValue::new("messaging.system", "in_memory"),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.destination.name", "orders"),
            KeyValue::new("messaging.operation.type", operation),
        ]
    };
    let (send, receive) = (described("send"), described("process"));
    for _ in 0..rounds {
        sent.add(1, &send[..3]);
        operation.record(black_box(0.001), &send);
        consumed.add(1, &receive[..3]);
        process.record(black_box(0.001), &receive[..3]);
    }
}

fn meters() -> SdkMeterProvider {
    SdkMeterProvider::builder().with_reader(PeriodicReader::builder(Nowhere).build()).build()
}

fn outside(hops: impl Future<Output = ()>) {
    runtime::Builder::new_current_thread().build().expect("a runtime without drivers").block_on(hops);
}

/// Metrics are collected, and go nowhere.
struct Nowhere;

impl PushMetricExporter for Nowhere {
    async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Spans are made and ended, and go nowhere.
#[derive(Debug)]
struct Discard;

impl SpanProcessor for Discard {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A span and a value: two reference counts to go up and down.
fn context() -> Context {
    let span = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
    Context::new().with_value(7).with_remote_span_context(span)
}

fn with(rounds: u32, mut hop: impl FnMut(&Context)) {
    let cx = context();
    for _ in 0..rounds {
        hop(black_box(&cx));
    }
}

fn polls(rounds: u32, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    for _ in 0..rounds {
        _ = black_box(poll_once(future.as_mut()));
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    black_box(future).poll(&mut task::Context::from_waker(Waker::noop()))
}

fn pulls(rounds: u32, stream: impl Stream<Item = i32>) {
    let mut stream = pin!(stream);
    for _ in 0..rounds {
        _ = black_box(black_box(stream.as_mut()).poll_next(&mut task::Context::from_waker(Waker::noop())));
    }
}

async fn endless() {
    loop {
        future::pending::<()>().await;
    }
}

async fn work() -> i32 {
    tokio::task::yield_now().await;
    black_box(7)
}

/// On this thread, with the context attached outside of any task.
fn block_on(hops: impl Future<Output = ()>) {
    let _guard = context().attach();
    outside(hops);
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--case", case, rounds] => {
            let (_, _, run) = cases()[case.parse::<usize>()?];
            run(rounds.parse()?);
            return Ok(ExitCode::SUCCESS);
        }
        [] | ["--record"] => {}
        _ => return Err("usage: instructions [--record]".into()),
    }
    let cases = cases();
    let counted = cases.iter().enumerate().map(|(case, (hop, whose, _))| {
        eprintln!("{} of {}: {hop}, {whose}", case + 1, cases.len());
        Ok((*hop, *whose, count(case)?))
    });
    let counted = counted.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let made_with = versions()?;
    if args.iter().any(|arg| arg == "--record") {
        let ours = counted.iter().filter(|(_, whose, _)| *whose == "ctxhop");
        let lines = ours.map(|(hop, _, instructions)| {
            let goal = goals::verdict(hop, &counted);
            let separator = if goal.is_empty() { "" } else { "; " };
            format!("{instructions:.1} {hop}{separator}{goal}\n")
        });
        fs::write(RECORD, format!("{made_with}\n\n{}", lines.collect::<String>()))?;
    }
    let record = fs::read_to_string(RECORD)?;
    let (recorded_with, recorded) = record.split_once("\n\n").ok_or("no empty line in the record")?;
    let grown = report(&counted, &parse(recorded)?);
    if made_with != recorded_with {
        println!("\nNothing is held against the record, because the tools differ:");
        for (recorded, this) in recorded_with.lines().zip(made_with.lines()).filter(|(a, b)| a != b) {
            println!("  recorded with {recorded}\n  this is       {this}");
        }
        println!("To hold hops against these tools, record the commit before the change with them:\n  {RECORD_ANEW}");
        return Ok(ExitCode::SUCCESS);
    }
    if grown.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\nFAILED: the tools are those of the record, but these take more than {TOLERANCE} % above it:");
    grown.iter().for_each(|hop| eprintln!("  {hop}"));
    eprintln!("If the change is worth that, say so in its commit, and record the hops anew:\n  {RECORD_ANEW}");
    Ok(ExitCode::FAILURE)
}

/// Prints what was counted, and returns the hops of ours that have grown, or that are not recorded at all.
fn report(counted: &[(&str, &'static str, f64)], recorded: &HashMap<&str, f64>) -> Vec<String> {
    println!("{:<20} {:<14} {:>12} {:>10}", "hop", "whose", "instructions", "recorded");
    let mut grown = Vec::new();
    for (hop, whose, instructions) in counted {
        let mut line = format!("{hop:<20} {whose:<14} {instructions:>12.1}");
        if *whose == "ctxhop" {
            match recorded.get(hop) {
                Some(recorded) => {
                    let growth = (instructions / recorded - 1.0) * 100.0;
                    _ = write!(line, " {recorded:>10.1} {growth:>+6.1} %");
                    if growth > TOLERANCE {
                        grown.push(format!(
                            "{hop}: {recorded:.1} instructions became {instructions:.1}, {growth:+.1} %"
                        ));
                    }
                }
                None => grown.push(format!("{hop}: {instructions:.1} instructions, which are not recorded")),
            }
            _ = write!(line, "  {}", goals::verdict(hop, counted));
        }
        println!("{line}");
    }
    grown
}

fn parse(recorded: &str) -> Result<HashMap<&str, f64>, Box<dyn Error>> {
    fn parse(line: &str) -> Result<(&str, f64), Box<dyn Error>> {
        let (counted, _goal) = line.split_once("; ").unwrap_or((line, ""));
        let (instructions, hop) = counted.split_once(' ').ok_or("a line of the record has no space")?;
        Ok((hop, instructions.parse()?))
    }
    recorded.lines().map(parse).collect()
}

/// What one round of a case takes.
fn count(case: usize) -> Result<f64, Box<dyn Error>> {
    let run = |rounds: u32| -> Result<f64, Box<dyn Error>> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe()?)
            .args(["--case", &case.to_string(), &rounds.to_string()])
            // The environment lies on the stack, so its size would move everything.
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .output()?;
        let log = String::from_utf8_lossy(&output.stderr);
        let collected = log.lines().find_map(|line| line.split_once("Collected : "));
        match collected {
            Some((_, instructions)) if output.status.success() => Ok(instructions.trim().parse()?),
            _ => Err(format!("callgrind failed: {log}").into()),
        }
    };
    Ok((run(2 * ROUNDS)? - run(ROUNDS)?) / f64::from(ROUNDS))
}

/// The versions of all that makes instructions of the code; a line each.
fn versions() -> Result<String, Box<dyn Error>> {
    let first_line = |program: &str, args: &[&str]| -> Result<String, Box<dyn Error>> {
        let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        Ok(String::from_utf8(output.stdout)?.lines().next().unwrap_or_default().to_owned())
    };
    let rustc = first_line("rustc", &["--version"])?;
    let valgrind = first_line("valgrind", &["--version"])?;
    let libc = first_line("ldd", &["--version"])?;
    Ok(format!("{rustc}, {}\n{libc}\n{valgrind}", env::consts::ARCH))
}
