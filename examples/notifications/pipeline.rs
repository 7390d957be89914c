//! The pipeline, top-down, with a hop at each arrow:
//!
//! ```text
//! batch ──▶ rayon's par_iter: parse
//! (main thread)
//!   └─ channel ──▶ 8 workers ──▶ spawn_blocking: render ──▶ rayon's join: summary, page
//!                    │   └─────▶ spawn: notify
//!                    └─ channel ──▶ writer (thread): record
//! ```
//!
//! Nothing here mentions a parent: each span is a child of what is current, and the hops see to it that the right thing
//! is. One notification's span is current from the send in [`batch`] through the worker to [`write`], and ends when
//! the last of them lets it go.

use std::{
    io::{self, BufRead},
    panic,
    sync::{Arc, LazyLock},
    time::Instant,
};

use ctxhop::prelude::*;
use opentelemetry::{
    Context, KeyValue,
    global::{self, BoxedTracer},
    trace::{Status, TraceContextExt, Tracer},
};
use tokio::{
    runtime::Runtime,
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender, error::SendError},
    },
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

/// Both channels are bounded: a slow writer holds the workers up, they hold the batch up, and memory stays constant.
const CAPACITY: usize = 64;

/// How many lines are parsed at a time.
const CHUNK: usize = 64;

struct Job {
    notification: Notification,
    read_at: Instant,
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
    let (queue, jobs) = mpsc::channel(CAPACITY);
    let (results, outcomes) = mpsc::channel(CAPACITY);
    let _runtime = runtime.enter();

    span("batch").run(|| {
        let writer = H::spawn_thread(move || write::<H>(outcomes, receipts));
        let jobs = Arc::new(Mutex::new(jobs));
        let workers = [(); WORKERS].map(|()| H::spawn(work::<H>(Arc::clone(&jobs), results.clone())));
        // From here on, a channel closes when the other side is done with it.
        drop((jobs, results));

        let (invalid, read) = batch::<H>(lines, queue);
        for worker in workers {
            runtime.block_on(worker).unwrap_or_else(|error| panic::resume_unwind(error.into_panic()));
        }
        let (tally, written) = writer.join().unwrap_or_else(|panic| panic::resume_unwind(panic));

        let errors = [read.err().map(|error| format!("reading stopped: {error}")), written.err()];
        Summary { tally, invalid, errors: errors.into_iter().flatten().collect() }
    })
}

/// Main thread: parses some lines at a time, and sends each notification on its way, with a span of its own.
fn batch<H: Hops>(mut lines: Lines<impl BufRead>, queue: Sender<H::Message<Job>>) -> (u64, io::Result<()>) {
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
                    let job = Job { notification, read_at: Instant::now() };
                    if cx.run(|| H::blocking_send(&queue, job)).is_err() {
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

/// Task: delivers one notification after another, each in its own context, and between two of them in the worker's.
async fn work<H: Hops>(jobs: Arc<Mutex<Receiver<H::Message<Job>>>>, results: Sender<H::Message<Outcome>>) {
    let worker = async {
        loop {
            let Some(message) = jobs.lock().await.recv().await else { break };
            if H::run_async(message, |job| deliver::<H>(job, &results)).await.is_err() {
                break; // The writer is gone. Why, its join tells.
            }
        }
    };
    worker.with_context(span("worker")).await;
}

/// Renders on a thread that may block, and notifies in a task of its own, whose panic would be this delivery's only.
async fn deliver<H: Hops>(
    Job { notification, read_at }: Job,
    results: &Sender<H::Message<Outcome>>,
) -> Result<(), Box<SendError<Outcome>>> {
    let notification = Arc::new(notification);
    let result = async {
        let source = Arc::clone(&notification);
        let (summary, page) =
            H::spawn_blocking(move || render::<H>(&source)).await.map_err(|error| format!("render: {error}"))?;
        let target = Arc::clone(&notification);
        H::spawn(notify(target, summary, page)).await.map_err(|error| format!("notify: {error}"))?
    }
    .await;
    if let Err(reason) = &result {
        fail(reason);
    }
    H::send(results, Outcome { notification, result, read_at }).await.map_err(Box::new)
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
