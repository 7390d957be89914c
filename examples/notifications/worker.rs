//! The service `worker`: renders each notification, has it delivered, and takes down what became of it.
//!
//! Nothing here mentions a parent: each span is a child of what is current, and the hops see to it that the right thing is.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use ctxhop::prelude::*;
use opentelemetry::Context;
use tokio::{
    sync::{
        mpsc::{Receiver, Sender},
        watch,
    },
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{Broker, Consumer, Failed, Job, Key, Publisher},
    hops::Hops,
    notify::Client,
    render,
    tally::{Receipts, Tally},
    telemetry::{Service, fail},
};

/// The queues of notifications, and of those that were given up.
pub(crate) const QUEUE: &str = "notifications";
const PARKED: &str = "parked";

/// Each does one notification at a time.
const WORKERS: usize = 8;

/// How often a notification is tried, before it is parked.
pub(crate) const ATTEMPTS: u64 = 2;

/// What became of a notification.
pub(crate) struct Outcome {
    pub(crate) job: Arc<Job>,
    pub(crate) result: Result<(), String>,
}

/// What all workers share.
struct Desk<H: Hops> {
    parking: Publisher,
    results: Sender<H::Message<Outcome>>,
    client: Client,
    attempts: Attempts,
    stop: CancellationToken,
}

impl<H: Hops> Desk<H> {
    /// Hands on what became of a notification.
    async fn tell(&self, outcome: Outcome) -> Result<(), Failed> {
        let told = H::send(&self.results, outcome).await;
        told.map_err(|error| {
            // The writer is gone. Why, its join tells.
            self.stop.cancel();
            Failed::Again(error.to_string())
        })
    }
}

/// The ends of the queues that the workers and the clerk need.
pub(crate) struct Ends {
    jobs: Vec<Consumer>,
    parking: Publisher,
    parked: Vec<Consumer>,
}

impl Ends {
    pub(crate) async fn open<H: Hops>(broker: &Broker) -> Result<Self, String> {
        let describe = |queue| H::describe(Service::Worker, queue);
        let parking = broker.publisher(PARKED, &describe).await?;
        let parked = broker.consumers(PARKED, 1, &describe).await?;
        let jobs = broker.consumers(QUEUE, WORKERS, &describe).await?;
        Ok(Self { jobs, parking, parked })
    }
}

/// Starts the workers and the clerk, which go on until `stop`.
pub(crate) fn start<H: Hops>(
    ends: Ends,
    client: Client,
    results: Sender<H::Message<Outcome>>,
    looping: Looping,
    stop: &CancellationToken,
) -> Vec<JoinHandle<Result<(), String>>> {
    let Ends { jobs, parking, parked } = ends;
    let desk = Arc::new(Desk { parking, results, client, attempts: Attempts::default(), stop: stop.clone() });
    let clerks = parked.into_iter().map(|parked| H::spawn(file::<H>(parked, Arc::clone(&desk), looping)));
    let workers = jobs.into_iter().map(|jobs| H::spawn(work::<H>(jobs, Arc::clone(&desk), looping)));
    clerks.chain(workers).collect()
}

/// What a loop, which lives long, has for a span.
#[derive(Clone, Copy)]
pub(crate) enum Looping {
    /// Its own, to see where it was started.
    InSpan,
    /// None, because nobody would ever see the end of it.
    Bare,
}

impl Looping {
    fn context(self, name: &'static str) -> Context {
        match self {
            Self::InSpan => span(name),
            Self::Bare => Context::new(),
        }
    }
}

/// Task: handles one notification after another, each in its own context, and between two of them in the worker's.
async fn work<H: Hops>(jobs: Consumer, desk: Arc<Desk<H>>, looping: Looping) -> Result<(), String> {
    let worker = jobs.process_each(|job| attempt(&desk, job), desk.stop.clone().cancelled_owned());
    worker.with_context(looping.context("worker")).await
}

/// Delivers a notification, and hands on what became of it; a failure only with the last attempt.
async fn attempt<H: Hops>(desk: &Desk<H>, job: Arc<Job>) -> Result<(), Failed> {
    match deliver::<H>(&desk.client, &job).await {
        Ok(()) => {
            desk.attempts.succeeded(&job);
            desk.tell(Outcome { job, result: Ok(()) }).await
        }
        Err(reason) if desk.attempts.failed(&job) < ATTEMPTS => Err(Failed::Again(reason)),
        Err(reason) => {
            let parked = Job { reason: Some(reason.clone()), ..(*job).clone() };
            desk.parking.publish(Arc::new(parked)).await.map_err(Failed::Again)?;
            Err(Failed::Finally(reason))
        }
    }
}

/// How often notifications have failed that are still tried. Not every broker counts deliveries: Kafka does not.
#[derive(Default)]
struct Attempts(Mutex<HashMap<Key, u64>>);

impl Attempts {
    /// Which attempt this was. After the last one, the notification is forgotten.
    fn failed(&self, job: &Job) -> u64 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = job.key();
        let attempt = failures.remove(&key).unwrap_or_default() + 1;
        if attempt < ATTEMPTS {
            failures.insert(key, attempt);
        }
        attempt
    }

    fn succeeded(&self, job: &Job) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            failures.remove(&job.key());
        }
    }
}

/// Task: has what was parked recorded. A real one would show it to somebody.
async fn file<H: Hops>(parked: Consumer, desk: Arc<Desk<H>>, looping: Looping) -> Result<(), String> {
    let record = async |job: Arc<Job>| {
        let reason = job.reason.clone().unwrap_or_else(|| "unknown".to_owned());
        desk.tell(Outcome { job, result: Err(reason) }).await
    };
    let clerk = parked.process_each(record, desk.stop.clone().cancelled_owned());
    clerk.with_context(looping.context("clerk")).await
}

/// Renders on a thread that may block, and notifies in a task of its own, whose panic would be this delivery's only.
async fn deliver<H: Hops>(client: &Client, job: &Arc<Job>) -> Result<(), String> {
    let source = Arc::clone(job);
    let (summary, page) =
        H::spawn_blocking(move || render::<H>(&source)).await.map_err(|error| format!("render: {error}"))?;
    let call = notify(client.clone(), Arc::clone(job), summary, page);
    H::spawn(call).await.map_err(|error| format!("notify: {error}"))?
}

/// On a thread that may block, and from there on rayon's.
fn render<H: Hops>(job: &Job) -> (String, String) {
    let notification = &job.notification;
    span("render").run(|| {
        H::join(
            || span("summary").run(|| render::summary(notification)),
            || span("page").run(|| render::page(notification)),
        )
    })
}

/// Calls the service that delivers.
async fn notify(client: Client, job: Arc<Job>, summary: String, page: String) -> Result<(), String> {
    let call = async {
        let result = client.notify(&job.notification, summary, page).await;
        if let Err(reason) = &result {
            fail(reason);
        }
        result
    };
    call.with_context(span("notify")).await
}

/// The notifications that are sent and not recorded yet.
#[derive(Clone, Default)]
pub(crate) struct Outstanding(Arc<watch::Sender<HashSet<Key>>>);

impl Outstanding {
    pub(crate) fn add(&self, job: &Job) {
        self.0.send_modify(|keys| _ = keys.insert(job.key()));
    }

    /// Whether it was there: a broker may deliver a message twice.
    pub(crate) fn remove(&self, job: &Job) -> bool {
        self.0.send_if_modified(|keys| keys.remove(&job.key()))
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        // It is no error while this end is there.
        let _ = self.0.subscribe().wait_for(HashSet::is_empty).await;
    }
}

/// Thread: takes the results down. `outstanding`: none if the batch is in another process; then what a broker delivers twice counts
/// twice.
pub(crate) fn write<H: Hops>(
    mut outcomes: Receiver<H::Message<Outcome>>,
    mut receipts: Option<Receipts>,
    looping: Looping,
    outstanding: Option<Outstanding>,
) -> (Tally, Result<(), String>) {
    looping.context("writer").run(|| {
        let mut tally = Tally::default();
        while let Some(message) = outcomes.blocking_recv() {
            H::run(message, |outcome| {
                span("record").run(|| {
                    if outstanding.as_ref().is_none_or(|outstanding| outstanding.remove(&outcome.job)) {
                        tally.record(&outcome);
                        if let Some(receipts) = &mut receipts {
                            receipts.write(&outcome);
                        }
                    }
                });
            });
        }
        (tally, receipts.map_or(Ok(()), Receipts::finish))
    })
}

fn span(name: &'static str) -> Context {
    Service::Worker.span(name)
}
