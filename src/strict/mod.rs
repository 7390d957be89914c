//! Strict mode: which hop lost the trace, which guard leaked, who keeps this span open.
//!
//! Use it in tests and in staging. Turn the feature on under `[dev-dependencies]`, or by a feature of your own; [`install`] it at
//! the start, and add its [processor](Strict::processor) to the tracer provider:
//!
//! ```
//! use ctxhop::strict::{self, Config};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//!
//! let strict = strict::install(Config::new());
//! let provider = SdkTracerProvider::builder().with_span_processor(strict.processor()).build();
//! // … the program, or a test of it …
//! println!("{}", strict.report());
//! strict.assert_clean();
//! ```
//!
//! ```text
//! ctxhop strict: 3 problems in 41210 hops
//! HELD      1 hop holds the ended span "GET /orders", for up to 90 s: with_context at src/pool.rs:12:9
//!           by way of: tokio::spawn at src/api.rs:30:5, channel::send at src/queue.rs:51:9
//! LEAKED    1 guard outlives the work of tokio::spawn at src/api.rs:30:9
//!           attached by shop::auth::check at src/auth.rs:34:71
//!           212 later hops on its thread saw it
//! LOST      197 of 197 captures were empty while spans were open: tokio::spawn at src/batch.rs:88:5
//!           roots that came of it: notify ×189, render ×197
//! ```
//!
//! # What it finds
//!
//! | problem | what is seen | the usual cure |
//! |---|---|---|
//! | `LEAKED` | a poll, job or call has returned, and a guard that was attached in it is still attached | drop the guard before the `.await`; [`run`](crate::Snapshot::run) instead of a guard |
//! | `LOST` | a hop captured no span while spans were open elsewhere, and root spans were started in it | carry the context to where the hop is; or say that the hop carries nothing on purpose, by [`detached`](crate::Propagate::detached) |
//! | `ROOT` | a root span was started outside any hop while spans were open elsewhere | as for `LOST`; the hop is a bare one |
//! | `HELD` | a hop still holds a context whose span has ended a while ago | `spawn_parent_only`, `spawn_detached`, `send_parent_only`; see [what keeps a span open](crate::manual::open_spans) |
//! | `OPEN` | a span was started a while ago and has not ended; the hops that hold it are named | as for `HELD`, or end the span by `span().end()` |
//! | `FULL` | a context could not be attached, because others have attached 65,534 on the thread | find the recursion or the forgotten guards |
//! | `NON-ROOT` | `extract` or `process` is called where a span is current that no hop attached | drop the guard of the message before; or [`run`](crate::Snapshot::run) the work around |
//!
//! # What it does not find
//!
//! - Bare hops leave no mark, so `ROOT` names the line that started the span, which comes after the hop. Clippy finds the hops
//!   themselves, by `lint-check/clippy.toml`.
//! - A span that starts a trace on purpose, while others are open, looks like one that has lost its parent.
//!   [`Config::expect_roots`] tells them apart.
//! - A half of `rayon::join` is no hop of its own: a guard that it leaks is found at the hop around it, if there is one.
//! - A parallel iterator is one hop. Closures behind `zip`, `chunks` and their like are no part of its work on other threads, unless
//!   the chain is bound at its end too: [`in_current_context`](crate::rayon::ParallelIteratorExt::in_current_context).
//! - OpenTelemetry does not tell of guards that are dropped out of order. On a thread without hops, `NON-ROOT` may name the guard of
//!   another attach then.
//! - Spans that the sampler drops reach no processor. So sample all of them where strict mode is on.
//! - The line that attached a leaked guard comes from a backtrace, which takes debug information, and OpenTelemetry's context
//!   observer, of which a process has one. Where another one is set already, the hop is named, and not the line;
//!   [`Report::names_guards`] tells.
//!
//! # Cost
//!
//! Without the feature there is no code and no field. With the feature and without [`install`], a hop costs a relaxed load at each
//! step (capture, bind, attach, drop), and OpenTelemetry asks for an observer at each attach. Installed, it is for tests and
//! staging: a hop costs microseconds, and each attach of others takes a backtrace, also each time that a `tracing` span is entered
//! beside an OpenTelemetry layer.
//!
//! # One to a process
//!
//! Contexts, threads and the observer belong to the process, so strict mode does too: [`install`] gives the same [`Strict`] each
//! time, and the report covers all tests that run in the process. Give each test that asserts on it a test binary of its own.

mod caller;
mod guard;
pub(crate) mod hop;
mod ledger;
mod observer;
mod problem;
mod processor;
mod thread;

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ledger::Ledger;
pub use problem::{Problem, Report, Site};
pub use processor::Processor;

/// Starts strict mode for this process. Later calls return the same [`Strict`] and change nothing.
pub fn install(config: Config) -> Strict {
    let ledger = LEDGER.get_or_init(|| {
        let observed = observer::install();
        Ledger::new(config, observed)
    });
    INSTALLED.store(true, Ordering::Relaxed);
    Strict { ledger }
}

static LEDGER: OnceLock<Ledger> = OnceLock::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// The ledger, if strict mode is installed: one relaxed load where it is not.
#[inline]
fn ledger() -> Option<&'static Ledger> {
    if INSTALLED.load(Ordering::Relaxed) { LEDGER.get() } else { None }
}

/// How strict mode goes about it.
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until it is installed"]
pub struct Config {
    on_problem: Action,
    patience: Duration,
    roots: Vec<String>,
}

impl Config {
    /// Counts problems, and calls a span held or open after one minute.
    pub const fn new() -> Self {
        Self { on_problem: Action::Count, patience: Duration::from_secs(60), roots: Vec::new() }
    }

    /// What happens where a problem is seen, besides that it is in the report.
    pub fn on_problem(self, action: Action) -> Self {
        Self { on_problem: action, ..self }
    }

    /// How long after its end a span may be held, and how long a span may be open, before the report calls it a problem.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The names of spans that start traces on purpose: a batch, a timer's work. They are never `LOST` or `ROOT`.
    ///
    /// You do not have to name spans of kind `SERVER` and `CONSUMER`, because requests and messages start traces.
    pub fn expect_roots<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.roots.extend(names.into_iter().map(Into::into));
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// What happens where a problem is seen. `LEAKED`, `FULL` and `NON-ROOT` are seen where they happen, the others in
/// the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// It is in the report.
    Count,
    /// It is written to the standard error, too.
    Log,
    /// The thread panics with it. A thread that is panicking already writes it to the standard error, and `FULL` is always
    /// written there, because destructors attach contexts.
    Panic,
}

/// Strict mode of this process. Made by [`install`].
#[derive(Clone, Copy)]
pub struct Strict {
    ledger: &'static Ledger,
}

impl Strict {
    /// A processor for the tracer provider: from it strict mode knows which spans have started and ended.
    ///
    /// Without it, `LOST`, `ROOT`, `HELD` and `OPEN` are never reported.
    #[must_use]
    pub fn processor(&self) -> Processor {
        Processor::new(self.ledger)
    }

    /// What was found up to now.
    pub fn report(&self) -> Report {
        self.ledger.report()
    }

    /// Asserts that nothing was found up to now.
    ///
    /// # Panics
    ///
    /// With the report, if there is a problem.
    #[track_caller]
    pub fn assert_clean(&self) {
        let report = self.report();
        assert!(report.problems().is_empty(), "{report}");
    }
}

impl fmt::Debug for Strict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strict").finish_non_exhaustive()
    }
}
