//! The pipeline, top-down, with a hop at each arrow:
//!
//! ```text
//! batch ──▶ rayon's par_iter: parse
//! (main thread)
//!   └─ queue ──▶ 8 workers ──▶ spawn_blocking: render ──▶ rayon's join: summary, page
//!        ▲          │   └────▶ spawn: notify
//!        │          ├─ channel ──▶ writer (thread): record
//!        └─ retry ──┤                ▲
//!                   └─ queue ──▶ clerk (task), for what failed twice
//! ```
//!
//! Nothing here mentions a parent: each span is a child of what is current, and the hops see to it that the right thing
//! is. One notification's span is current where it is published in [`batch`]; through the queue it goes as a broker's
//! message would take it, in the headers; and from [`attempt`] it goes along to [`write`].

use std::{
    io::{self, BufRead},
    panic,
    sync::{Arc, LazyLock},
    time::Instant,
};

use ctxhop::{
    carrier::Headers,
    prelude::*,
    queue::{self, Consumer, Delivery, Message, Publisher},
};
use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedTracer},
    trace::{Status, TraceContextExt, Tracer},
};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, Receiver, Sender},
};

use crate::{
    complain,
    hops::Hops,
    input::{Invalid, Line, Lines, Notification},
    service,
    tally::{Receipts, Tally},
};

/// Each does one notification at a time.
const WORKERS: usize = 8;

/// All queues and channels are bounded: a slow writer holds the workers up, they hold the batch up, and memory stays
/// constant.
const CAPACITY: usize = 64;

/// How many lines are parsed at a time.
const CHUNK: usize = 64;

/// How often a notification is tried, before it is parked.
pub(crate) const ATTEMPTS: u64 = 2;

/// The header of a parked notification that says why it failed.
const REASON: &str = "reason";

#[derive(Clone)]
struct Job {
    notification: Arc<Notification>,
    read_at: Instant,
}

impl Job {
    fn outcome(&self, result: Result<(), String>) -> Outcome {
        Outcome { notification: Arc::clone(&self.notification), result, read_at: self.read_at }
    }
}

pub(crate) struct Outcome {
    pub(crate) notification: Arc<Notification>,
    pub(crate) result: Result<(), String>,
    pub(crate) read_at: Instant,
}

/// What a run has to tell, besides its spans.
pub(crate) struct Summary {
    pub(crate) tally: Tally,
    /// Lines that are no notification.
    pub(crate) invalid: u64,
    /// What kept the input or the receipts from being complete.
    pub(crate) errors: Vec<String>,
}

/// Sends a batch of notifications, and waits until all of them are delivered or failed, and recorded.
pub(crate) fn run<H: Hops>(runtime: &Runtime, lines: Lines<impl BufRead>, receipts: Option<Receipts>) -> Summary {
    let (queue, jobs) = queue::bounded(H::destination("notifications"), CAPACITY);
    let (parking, parked) = queue::bounded(H::destination("parked"), CAPACITY);
    let (results, outcomes) = mpsc::channel(CAPACITY);
    let _runtime = runtime.enter();

    span("batch").run(|| {
        let writer = H::spawn_thread(move || write::<H>(outcomes, receipts));
        let mut tasks = vec![H::spawn(file::<H>(parked, results.clone()))];
        for _ in 0..WORKERS {
            tasks.push(H::spawn(work::<H>(jobs.clone(), parking.clone(), results.clone())));
        }
        // From here on, a queue or channel closes when the other side is done with it.
        drop((jobs, parking, results));

        let (invalid, read) = batch::<H>(lines, queue);
        for task in tasks {
            runtime.block_on(task).unwrap_or_else(|error| panic::resume_unwind(error.into_panic()));
        }
        let (tally, written) = writer.join().unwrap_or_else(|panic| panic::resume_unwind(panic));

        let errors = [read.err().map(|error| format!("reading stopped: {error}")), written.err()];
        Summary { tally, invalid, errors: errors.into_iter().flatten().collect() }
    })
}

/// Main thread: parses some lines at a time, and sends each notification on its way, with a span of its own.
fn batch<H: Hops>(mut lines: Lines<impl BufRead>, queue: Publisher<Job>) -> (u64, io::Result<()>) {
    let mut invalid = 0;
    loop {
        let (chunk, read) = take(&mut lines, CHUNK);
        let ended = chunk.len() < CHUNK;
        for (number, parsed) in H::map(chunk, |line| (line.number, parse(&line))) {
            match parsed {
                Ok(notification) => {
                    let cx = span("notification");
                    cx.span().set_attribute(KeyValue::new("notification.id", notification.id.clone()));
                    cx.span().set_attribute(KeyValue::new("notification.channel", notification.channel.name()));
                    let job = Job { notification: Arc::new(notification), read_at: Instant::now() };
                    if cx.run(|| queue.publish_blocking(job)).is_err() {
                        return (invalid, read); // No worker is left. Why, its join tells.
                    }
                }
                Err(reason) => {
                    invalid += 1;
                    complain(format_args!("line {number}: {reason}"));
                }
            }
        }
        if ended {
            return (invalid, read);
        }
    }
}

/// Up to `count` lines, and the error that kept it from more.
fn take(lines: &mut Lines<impl BufRead>, count: usize) -> (Vec<Line>, io::Result<()>) {
    let mut chunk = Vec::with_capacity(count);
    let read = lines.take(count).try_for_each(|line| line.map(|line| chunk.push(line)));
    (chunk, read)
}

/// On rayon's threads.
fn parse(line: &Line) -> Result<Notification, Invalid> {
    span("parse").run(|| {
        let parsed = line.parse();
        if parsed.is_err() {
            fail("invalid line");
        }
        parsed
    })
}

/// Task: handles one notification after another, each in its own context, and between two of them in the worker's.
async fn work<H: Hops>(jobs: Consumer<Job>, parking: Publisher<Job>, results: Sender<H::Message<Outcome>>) {
    let worker = async {
        while let Some(mut delivery) = jobs.recv().await {
            match delivery.process().run_async(|| attempt::<H>(&delivery, &parking, &results)).await {
                Ok(()) => delivery.ack(),
                Err(_) if delivery.delivery_count() < ATTEMPTS => delivery.retry(),
                // It is parked, and goes on from there.
                Err(_) => delivery.reject(),
            }
            if results.is_closed() {
                break; // The writer is gone. Why, its join tells.
            }
        }
    };
    worker.with_context(span("worker")).await;
}

/// Delivers a notification, and hands on what became of it; a failure only with the last attempt.
async fn attempt<H: Hops>(
    delivery: &Delivery<Job>,
    parking: &Publisher<Job>,
    results: &Sender<H::Message<Outcome>>,
) -> Result<(), String> {
    let job = &delivery.payload;
    match deliver::<H>(&job.notification).await {
        Ok(()) => H::send(results, job.outcome(Ok(()))).await.map_err(|error| error.to_string()),
        Err(reason) if delivery.delivery_count() < ATTEMPTS => Err(reason),
        Err(reason) => {
            let headers = Headers::from_iter([(REASON, reason.clone())]);
            parking
                .publish_message(Message::new(job.clone()).with_headers(headers))
                .await
                .map_err(|error| error.to_string())?;
            Err(reason)
        }
    }
}

/// Task: has what was parked recorded. A real one would show it to somebody.
async fn file<H: Hops>(parked: Consumer<Job>, results: Sender<H::Message<Outcome>>) {
    let clerk = async {
        while let Some(mut delivery) = parked.recv().await {
            let reason = delivery.headers.get(REASON).unwrap_or("unknown").to_owned();
            let outcome = delivery.payload.outcome(Err(reason));
            let record = || async { H::send(&results, outcome).await.map_err(|error| error.to_string()) };
            if delivery.process().run_async(record).await.is_err() {
                break; // The writer is gone. Why, its join tells.
            }
            delivery.ack();
        }
    };
    clerk.with_context(span("clerk")).await;
}

/// Renders on a thread that may block, and notifies in a task of its own, whose panic would be this delivery's only.
async fn deliver<H: Hops>(notification: &Arc<Notification>) -> Result<(), String> {
    let source = Arc::clone(notification);
    let (summary, page) =
        H::spawn_blocking(move || render::<H>(&source)).await.map_err(|error| format!("render: {error}"))?;
    let target = Arc::clone(notification);
    H::spawn(notify(target, summary, page)).await.map_err(|error| format!("notify: {error}"))?
}

/// On a thread that may block, and from there on rayon's.
fn render<H: Hops>(notification: &Notification) -> (String, String) {
    span("render").run(|| {
        H::join(
            || span("summary").run(|| service::summary(notification)),
            || span("page").run(|| service::page(notification)),
        )
    })
}

/// Calls the service.
async fn notify(target: Arc<Notification>, summary: String, page: String) -> Result<(), String> {
    let call = async {
        let result = service::notify(target.channel, &target.to, &summary, &page).await;
        if let Err(reason) = &result {
            fail(reason);
        }
        result
    };
    call.with_context(span("notify")).await
}

/// Thread: takes the results down.
fn write<H: Hops>(
    mut outcomes: Receiver<H::Message<Outcome>>,
    mut receipts: Option<Receipts>,
) -> (Tally, Result<(), String>) {
    span("writer").run(|| {
        let mut tally = Tally::default();
        while let Some(message) = outcomes.blocking_recv() {
            H::run(message, |outcome| {
                span("record").run(|| {
                    tally.record(&outcome);
                    if let Some(receipts) = &mut receipts {
                        receipts.write(&outcome);
                    }
                });
            });
        }
        (tally, receipts.map_or(Ok(()), Receipts::finish))
    })
}

/// The current context with a new span, which ends when the last clone of this is dropped.
fn span(name: &'static str) -> Context {
    static TRACER: LazyLock<BoxedTracer> = LazyLock::new(|| global::tracer("notifications"));
    Context::current_with_span(TRACER.start(name))
}

/// Marks the current span as failed.
fn fail(reason: &str) {
    Context::current().span().set_status(Status::error(reason.to_owned()));
}
