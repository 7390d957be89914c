//! The pipeline, top-down, with a hop at each arrow:
//!
//! ```text
//! batch ──▶ rayon's par_iter: parse
//! (main thread)
//!   └─ queue ──▶ 8 workers ──▶ spawn_blocking: render ──▶ rayon's join: summary, page
//!        ▲          │   └────▶ spawn: notify ──HTTP──▶ server
//!        │          ├─ channel ──▶ writer (thread): record
//!        └─ retry ──┤                ▲
//!                   └─ queue ──▶ clerk (task), for what failed twice
//! ```
//!
//! Each service is in the file of its name: `batch.rs`, `worker.rs`, `notify.rs`. Here they are put together: all of them in one
//! process, or one of them.

use std::{
    io::{self, BufRead},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic,
};

use ctxhop::prelude::*;
use futures::future::select_all;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::mpsc,
    task::{JoinError, JoinHandle},
};
use tokio_util::sync::CancellationToken;

use crate::{
    batch::{self, Sent},
    broker::Broker,
    complain,
    hops::Hops,
    input::Lines,
    notify,
    signal::until_told_to_stop,
    tally::{Receipts, Tally},
    telemetry::Service,
    worker::{self, Ends, Looping, Outstanding, QUEUE},
};

/// All channels are bounded: a slow writer holds the workers up, they hold the batch up, and memory stays constant.
const CAPACITY: usize = 64;

/// What a run has to tell, besides its spans.
#[derive(Default)]
pub(crate) struct Summary {
    /// What became of the lines, if the batch was in this process.
    pub(crate) sent: Option<Sent>,
    /// What became of the notifications, if the workers were in this process.
    pub(crate) tally: Option<Tally>,
    /// What kept it from being complete.
    pub(crate) errors: Vec<String>,
}

/// What there is to do, and with what.
pub(crate) struct Run<'a, R> {
    pub(crate) runtime: &'a Runtime,
    /// None for queues of this process.
    pub(crate) broker: Option<&'a str>,
    /// Where the server listens, or is found. None for a free port.
    pub(crate) notify: Option<SocketAddr>,
    pub(crate) lines: Lines<R>,
    pub(crate) receipts: Option<Receipts>,
}

/// What kept a run from its start, so that nothing was done.
pub(crate) struct NotStarted(pub(crate) String);

impl<R: BufRead> Run<'_, R> {
    /// Sends a batch of notifications, and waits until all of them are delivered or failed, and recorded.
    pub(crate) fn all<H: Hops>(self) -> Result<Summary, NotStarted> {
        let Self { runtime, broker, notify, lines, receipts } = self;
        let _runtime = runtime.enter();
        let stop = CancellationToken::new();
        let started = runtime.block_on(async {
            let broker = Broker::connect(broker).await?;
            let queue = broker.publisher(QUEUE, &|queue| H::describe(Service::Batch, queue)).await?;
            let ends = Ends::open::<H>(&broker).await?;
            let (listener, address) = listen(notify.unwrap_or((Ipv4Addr::LOCALHOST, 0).into())).await?;
            Ok((broker, queue, ends, listener, address))
        });
        let (_broker, queue, ends, listener, address) = started.map_err(NotStarted)?;
        let close = CancellationToken::new();
        let mut server = tokio::spawn(notify::serve::<H>(listener, close.clone()));

        let summary = Service::Batch.span("batch").run(|| {
            let (results, outcomes) = mpsc::channel(CAPACITY);
            let outstanding = Outstanding::default();
            let recording = Some(outstanding.clone());
            let writer = H::spawn_thread(move || worker::write::<H>(outcomes, receipts, Looping::InSpan, recording));
            let client = notify::Client::new::<H>(address);
            let mut workers = worker::start::<H>(ends, client, results, Looping::InSpan, &stop);

            let sent = batch::send::<H>(runtime, lines, &queue, Some(&outstanding));
            let failed = runtime.block_on(async {
                tokio::select! {
                    () = outstanding.none() => None,
                    // A worker that ends before tells why.
                    (ended, index) = first(&mut workers) => {
                        drop(workers.swap_remove(index));
                        ended.err()
                    }
                }
            });
            stop.cancel();
            let ended = runtime.block_on(join(workers));
            let (tally, written) = writer.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            let errors = sent.error.clone().into_iter().chain(failed).chain(ended).chain(written.err()).collect();
            Summary { sent: Some(sent), tally: Some(tally), errors }
        });
        // The spans of its last answers end after the workers have them.
        close.cancel();
        runtime.block_on(server_ended(&mut server));
        Ok(summary)
    }

    /// The service `batch` alone.
    pub(crate) fn batch<H: Hops>(self) -> Result<Summary, NotStarted> {
        let Self { runtime, broker, lines, .. } = self;
        let started = runtime.block_on(async {
            let broker = Broker::connect(broker).await?;
            let queue = broker.publisher(QUEUE, &|queue| H::describe(Service::Batch, queue)).await?;
            Ok((broker, queue))
        });
        let (_broker, queue) = started.map_err(NotStarted)?;
        let _runtime = runtime.enter();
        let sent = Service::Batch.span("batch").run(|| batch::send::<H>(runtime, lines, &queue, None));
        Ok(Summary { errors: sent.error.clone().into_iter().collect(), sent: Some(sent), tally: None })
    }

    /// The service `worker` alone, until it is told to stop.
    pub(crate) fn worker<H: Hops>(self) -> Result<Summary, NotStarted> {
        let Self { runtime, broker, notify, receipts, .. } = self;
        let started = runtime.block_on(async {
            let broker = Broker::connect(broker).await?;
            let ends = Ends::open::<H>(&broker).await?;
            Ok((broker, ends))
        });
        let (_broker, ends) = started.map_err(NotStarted)?;
        let _runtime = runtime.enter();
        let stop = CancellationToken::new();
        let (results, outcomes) = mpsc::channel(CAPACITY);
        let writer = H::spawn_thread(move || worker::write::<H>(outcomes, receipts, Looping::Bare, None));
        let client = notify::Client::new::<H>(notify.unwrap_or(DEFAULT_NOTIFY));
        let mut workers = worker::start::<H>(ends, client, results, Looping::Bare, &stop);
        complain(format_args!("the worker is ready"));
        let failed = runtime.block_on(async {
            tokio::select! {
                told = until_told_to_stop() => told.err().map(|error| format!("no signal can be waited for: {error}")),
                (ended, index) = first(&mut workers) => {
                    drop(workers.swap_remove(index));
                    ended.err()
                }
            }
        });
        stop.cancel();
        let ended = runtime.block_on(join(workers));
        let (tally, written) = writer.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        let errors = failed.into_iter().chain(ended).chain(written.err()).collect();
        Ok(Summary { sent: None, tally: Some(tally), errors })
    }

    /// The service `notify` alone, until it is told to stop.
    pub(crate) fn notify<H: Hops>(self) -> Result<Summary, NotStarted> {
        let Self { runtime, notify, .. } = self;
        let stop = CancellationToken::new();
        let (listener, _) = runtime.block_on(listen(notify.unwrap_or(DEFAULT_NOTIFY))).map_err(NotStarted)?;
        let mut server = runtime.spawn(notify::serve::<H>(listener, stop.clone()));
        complain(format_args!("the notify server is ready"));
        let told = runtime.block_on(async {
            tokio::select! {
                told = until_told_to_stop() => Some(told),
                // It only ends before by a panic, which goes on here.
                () = server_ended(&mut server) => None,
            }
        });
        let mut errors = Vec::new();
        if let Some(told) = told {
            errors.extend(told.err().map(|error| format!("no signal can be waited for: {error}")));
            stop.cancel();
            runtime.block_on(server_ended(&mut server));
        }
        Ok(Summary { errors, ..Summary::default() })
    }
}

/// Where a server is that is a process of its own.
pub(crate) const DEFAULT_NOTIFY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8025);

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        io::Result::Ok((listener, address))
    };
    listen.await.map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// The first that ends, which it does too early, and its place.
async fn first(workers: &mut [JoinHandle<Result<(), String>>]) -> (Result<(), String>, usize) {
    let (ended, index, _) = select_all(workers).await;
    (result_of(ended), index)
}

/// Waits for all, and tells how they failed.
async fn join(workers: Vec<JoinHandle<Result<(), String>>>) -> Vec<String> {
    let mut errors = Vec::new();
    for worker in workers {
        errors.extend(result_of(worker.await).err());
    }
    errors
}

/// Goes on with the panic, if it was one.
async fn server_ended(server: &mut JoinHandle<()>) {
    server.await.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()));
}

/// Goes on with the panic, if it was one.
fn result_of(ended: Result<Result<(), String>, JoinError>) -> Result<(), String> {
    ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}
