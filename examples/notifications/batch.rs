//! The service `batch`: parses the notifications, and sends each on its way.

use std::{
    io::{self, BufRead},
    sync::Arc,
    time::SystemTime,
};

use ctxhop::prelude::*;
use futures::future::join_all;
use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use tokio::runtime::Runtime;

use crate::{
    broker::{Job, Publisher},
    complain,
    hops::Hops,
    input::{Invalid, Line, Lines, Notification},
    telemetry::{Service, fail},
    worker::Outstanding,
};

/// How many lines are parsed at a time, and how many notifications are on their way to the broker.
const CHUNK: usize = 64;

/// What became of the lines.
pub(crate) struct Sent {
    pub(crate) notifications: u64,
    /// Lines that are no notification.
    pub(crate) invalid: u64,
    /// What kept it from sending all of them.
    pub(crate) error: Option<String>,
}

/// Parses some lines at a time, and sends each notification on its way, with a span of its own. `outstanding`: none if the workers are
/// in another process.
pub(crate) fn send<H: Hops>(
    runtime: &Runtime,
    mut lines: Lines<impl BufRead>,
    queue: &Publisher,
    outstanding: Option<&Outstanding>,
) -> Sent {
    let mut sent = Sent { notifications: 0, invalid: 0, error: None };
    loop {
        let (chunk, read) = take(&mut lines, CHUNK);
        let ended = chunk.len() < CHUNK;
        let mut publishing = Vec::with_capacity(chunk.len());
        for (number, parsed) in H::map(chunk, |line| (line.number, parse(&line))) {
            match parsed {
                Ok(notification) => publishing.push(publish(queue, outstanding, notification)),
                Err(reason) => {
                    sent.invalid += 1;
                    complain(format_args!("line {number}: {reason}"));
                }
            }
        }
        let results = runtime.block_on(join_all(publishing));
        sent.notifications += results.iter().filter(|result| result.is_ok()).count() as u64;
        let failed = results.into_iter().find_map(Result::err).map(|error| format!("sending stopped: {error}"));
        sent.error = failed.or(read.err().map(|error| format!("reading stopped: {error}")));
        if ended || sent.error.is_some() {
            return sent;
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

/// The span of a notification ends when the broker has it; what becomes of it goes on from there.
fn publish(
    queue: &Publisher,
    outstanding: Option<&Outstanding>,
    notification: Notification,
) -> impl Future<Output = Result<(), String>> {
    let cx = span("notification");
    cx.span().set_attribute(KeyValue::new("notification.id", notification.id.clone()));
    cx.span().set_attribute(KeyValue::new("notification.channel", notification.channel.name()));
    let job = Arc::new(Job { notification, read_at: SystemTime::now(), reason: None });
    if let Some(outstanding) = outstanding {
        outstanding.add(&job);
    }
    let publishing = async move {
        let published = queue.publish(Arc::clone(&job)).await;
        if let (Err(_), Some(outstanding)) = (&published, outstanding) {
            outstanding.remove(&job);
        }
        published
    };
    publishing.with_context(cx)
}

fn span(name: &'static str) -> Context {
    Service::Batch.span(name)
}
