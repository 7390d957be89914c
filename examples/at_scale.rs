//! What the context costs a large system: header bytes along a chain of services, traces at a border and under sampling, spans
//! and links where queues fan out and in.
//!
//! ```sh
//! cargo run --release --example at_scale -- 40   # services in the chain, 2 at least; 24 without the argument
//! ```
//!
//! `ctxhop::manual::scale` explains the numbers.

use std::{env, process::ExitCode, time::Instant};

use ctxhop::{
    BaggagePolicy, Snapshot, Trust,
    carrier::{Headers, Limited},
    messaging::Destination,
    propagation::{BaggagePropagator, TraceContextPropagator},
    testing::TraceRecorder,
};
use opentelemetry::{
    Context, KeyValue,
    baggage::{Baggage, BaggageExt},
    propagation::TextMapCompositePropagator,
    trace::Tracer,
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

/// What a service leaves for the headers of the context.
const BUDGET: usize = 2 * 1024;

/// What each service adds to the baggage.
const MEMBER: usize = 100;

fn main() -> ExitCode {
    let services = match env::args().nth(1).map_or(Ok(24), |count| count.parse()) {
        Ok(services) if services >= 2 => services,
        _ => {
            eprintln!("at_scale: the argument has to be a number of services, and 2 at least");
            return ExitCode::from(2);
        }
    };
    opentelemetry::global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]));
    budgets(services);
    border(services);
    sampling(services);
    fan();
    ExitCode::SUCCESS
}

/// A service receives a message, adds a member to the baggage, and sends a message. Gives what it sends.
fn service(topic: &Destination, number: usize, received: &Headers) -> Headers {
    let mut headers = Headers::new();
    topic.process(received).run(|| {
        let mut baggage = Baggage::new();
        for (name, (value, metadata)) in Context::current().baggage() {
            baggage.insert_with_metadata(name.clone(), value.clone(), metadata.clone());
        }
        baggage.insert(format!("service-{number}"), "x".repeat(MEMBER));
        let mut limited = Limited::new(&mut headers).total_bytes(BUDGET);
        Context::current_with_baggage(baggage).run(|| topic.send(&mut limited).run(|| ()));
    });
    headers
}

/// The headers with which a request of the tenant `acme` begins.
fn request(recorder: &TraceRecorder, topic: &Destination) -> Headers {
    let mut headers = Headers::new();
    recorder.tracer("user").in_span("request", |cx| {
        cx.with_baggage([KeyValue::new("tenant", "acme")]).run(|| topic.send(&mut headers).run(|| ()));
    });
    headers
}

fn topic(recorder: &TraceRecorder) -> Destination {
    Destination::in_memory("chain").with_tracer_provider(recorder.provider())
}

fn bytes(headers: &Headers) -> usize {
    headers.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn members(headers: &Headers) -> usize {
    headers.get("baggage").map_or(0, |list| list.split(',').count())
}

/// The same chain twice: with all baggage, until the budget is used up, and with a policy that keeps the baggage small.
fn budgets(services: usize) {
    println!("baggage along {services} services, each adding {MEMBER} bytes; a budget of {BUDGET} bytes\n");
    println!("  after service |  all baggage, members | only the tenant");
    let recorder = TraceRecorder::new();
    let keep = topic(&recorder);
    let allow = topic(&recorder).baggage(BaggagePolicy::allow(["tenant"]));
    let (mut all, mut few) = (request(&recorder, &keep), request(&recorder, &keep));
    let started = Instant::now();
    for number in 1..=services {
        all = service(&keep, number, &all);
        few = service(&allow, number, &few);
        if number == 1 || number == services || number % 8 == 0 {
            let (whole, small) = (bytes(&all), bytes(&few));
            println!("  {number:>13} | {whole:>10} B, {:>8} | {small:>13} B", members(&all));
        }
        assert!(bytes(&all) <= BUDGET, "no header goes beyond the budget");
        assert!(few.get("baggage").is_some_and(|list| list.contains("tenant=acme")));
    }
    let each = started.elapsed() / (2 * u32::try_from(services).unwrap());
    let refused = |span: &&opentelemetry_sdk::trace::SpanData| {
        span.events.iter().any(|event| event.name == "ctxhop.context_refused")
    };
    println!(
        "\n  {} sends told that members were left out; {each:?} a service",
        recorder.spans().iter().filter(refused).count()
    );
    assert_eq!(recorder.tree().traces().len(), 2, "one trace for each chain, however long");
}

/// In the middle of the chain is a border: whoever is behind it starts a trace of its own, with a link.
fn border(services: usize) {
    let recorder = TraceRecorder::new();
    let inside = topic(&recorder);
    let public = topic(&recorder).trust(Trust::LinkOnly).baggage(BaggagePolicy::Strip);
    let mut headers = request(&recorder, &inside);
    for number in 1..=services {
        let topic = if number == services / 2 { &public } else { &inside };
        headers = service(topic, number, &headers);
    }
    let tree = recorder.tree();
    let roots = tree.roots();
    let linked = roots.iter().filter(|root| !root.span().links.is_empty()).count();
    println!(
        "\na border in the middle (LinkOnly, Strip): {} traces, {linked} of them linked to the other",
        roots.len()
    );
    assert_eq!((roots.len(), linked), (2, 1));
    assert!(headers.get("baggage").is_some_and(|list| !list.contains("tenant")), "nothing from outside is sent on");
}

/// The first service decides whether a request is sampled, and all others follow.
fn sampling(services: usize) {
    const REQUESTS: usize = 1_000;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.05)));
    let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder().with_sampler(sampler));
    let topic = topic(&recorder).baggage(BaggagePolicy::allow(["tenant"]));
    for _ in 0..REQUESTS {
        let mut headers = request(&recorder, &topic);
        for number in 1..=services {
            headers = service(&topic, number, &headers);
        }
    }
    let tree = recorder.tree();
    let whole = tree.roots().iter().filter(|root| root.descendants().count() == 2 + 2 * services).count();
    println!(
        "\n{REQUESTS} requests, 5 % sampled: {} spans, {} traces, {whole} of them whole",
        recorder.spans().len(),
        tree.roots().len()
    );
    assert_eq!(whole, tree.roots().len(), "no trace is cut by sampling");
}

/// One message for many consumers, and one span for many messages.
fn fan() {
    println!("\na queue fans out, then in\n");
    println!("  messages | one trace out: spans | in, each: spans, links | in, as a batch: spans, links");
    for count in [10, 100, 1_000] {
        let out = TraceRecorder::new();
        let message = request(&out, &topic(&out));
        for _ in 0..count {
            topic(&out).process(&message).run(|| ());
        }
        out.tree().assert_single_trace();

        // Each message is of a trace of its own.
        let sender = TraceRecorder::new();
        let messages: Vec<Headers> = (0..count).map(|_| request(&sender, &topic(&sender))).collect();
        let links = |recorder: &TraceRecorder| recorder.spans().iter().map(|span| span.links.len()).sum::<usize>();
        let each = TraceRecorder::new();
        for message in &messages {
            topic(&each).process(message).run(|| ());
        }
        let batch = TraceRecorder::new();
        topic(&batch).process_batch(&messages).run(|| ());

        let (spread, singles, whole) = (out.spans().len(), each.spans().len(), batch.spans().len());
        println!(
            "  {count:>8} | {spread:>20} | {singles:>14}, {:>6} | {whole:>21}, {:>5}",
            links(&each),
            links(&batch)
        );
        assert_eq!((singles, links(&each), whole), (count, count, 1));
        assert_eq!(links(&batch), count.min(128), "the SDK keeps 128 links of a span");
    }
}
