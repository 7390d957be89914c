//! [`check`]: whether propagation is set up at all.
//!
//! Traces fall apart most often before any hop: no tracer provider, no propagator, two versions of `opentelemetry` in one
//! program. None of these is an error anywhere; each is silent. Call [`check`] at the end of the set-up, or in a test of the
//! set-up:
//!
//! ```
//! // Nothing is set up in this program.
//! let diagnosis = ctxhop::doctor::check();
//! assert!(!diagnosis.is_healthy());
//! eprintln!("{diagnosis}");
//! ```
//!
//! ```text
//! problem: no tracer provider is set: spans are not recorded, and traces are empty; set one at the start: `opentelemetry::global::set_tracer_provider(provider)`
//! problem: no propagator is set: no message carries the context; set one at the start: `opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new())`
//! ```
//!
//! `cargo run --example doctor` shows a healthy program and how others are broken.
//!
//! # What it looks at
//!
//! | part | what is found |
//! |---|---|
//! | the global tracer provider | none is set; it is shut down; telemetry is suppressed at this call |
//! | the global propagator | none is set; trace context or baggage does not come back from [`inject`](crate::carrier::inject) and [`extract`](crate::carrier::extract); malformed headers are accepted |
//! | `tracing` (feature `tracing`) | no subscriber; a filter that disables spans; an entered span without a context |
//! | the environment | `OTEL_…` variables that are set and that the Rust SDK does not read |
//! | `Cargo.lock`, by [`Diagnosis::lockfile`] | several versions of `opentelemetry`, and who uses which |

mod environment;
mod finding;
mod lockfile;
mod propagator;
#[cfg(feature = "tracing")]
mod subscriber;
mod tracer;

use std::{fmt, slice};

pub use finding::{Finding, Severity};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};

/// Looks at the set-up of this program, as this thread sees it now.
///
/// Use it at the end of the set-up, or in a test of it.
///
/// The checks start spans, which are named `ctxhop.doctor`. Their parent is remote and not sampled, so a sampler that follows
/// its parent, which is the default, drops them. Any other sampler may export them.
///
/// # Examples
///
/// A test of the set-up, for a service that does not use baggage:
///
/// ```
/// use ctxhop::{doctor::{self, Finding}, propagation::TraceContextPropagator};
/// use opentelemetry::global;
///
/// fn set_up() {
///     global::set_text_map_propagator(TraceContextPropagator::new());
///     // … and the tracer provider
/// }
///
/// set_up();
/// let diagnosis = doctor::check();
/// assert!(diagnosis.iter().all(|finding| *finding != Finding::NoPropagator), "{diagnosis}");
/// ```
#[must_use = "the diagnosis does nothing unless it is looked at"]
pub fn check() -> Diagnosis {
    let mut findings = Vec::new();
    findings.extend(tracer::check());
    findings.extend(propagator::check());
    #[cfg(feature = "tracing")]
    findings.extend(subscriber::check());
    findings.extend(environment::check());
    Diagnosis { findings }
}

/// What [`check`] has found. Its `Display` is a line for each finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the diagnosis does nothing unless it is looked at"]
pub struct Diagnosis {
    findings: Vec<Finding>,
}

impl Diagnosis {
    /// Adds what the `Cargo.lock` of the program says about the versions of `opentelemetry`.
    ///
    /// Two versions compile side by side, and the context of one is never seen by the other.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::doctor::{Diagnosis, Finding};
    ///
    /// let lock = r#"
    ///     [[package]]
    ///     name = "opentelemetry"
    ///     version = "0.31.0"
    ///
    ///     [[package]]
    ///     name = "opentelemetry"
    ///     version = "0.33.1"
    ///
    ///     [[package]]
    ///     name = "tracing-opentelemetry"
    ///     version = "0.32.1"
    ///     dependencies = ["opentelemetry 0.31.0"]
    ///
    ///     [[package]]
    ///     name = "ctxhop"
    ///     version = "0.1.0"
    ///     dependencies = ["opentelemetry 0.33.1"]
    /// "#; // mostly: include_str!("../Cargo.lock")
    /// let diagnosis = Diagnosis::default().lockfile(lock);
    /// assert_eq!(
    ///     diagnosis.to_string(),
    ///     "problem: tracing-opentelemetry 0.32.1 uses opentelemetry 0.31.0, and ctxhop uses opentelemetry 0.33.1: neither sees \
    ///      the context of the other; bring both to one version, and see who uses which: `cargo tree -i opentelemetry@0.31.0`",
    /// );
    /// ```
    pub fn lockfile(mut self, lockfile: &str) -> Self {
        self.findings.extend(lockfile::check(lockfile));
        self
    }

    /// Whether no finding is a [problem](Severity::Problem). There may be advice.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity() != Severity::Problem)
    }

    /// The findings, in the order in which a message meets them.
    pub fn iter(&self) -> slice::Iter<'_, Finding> {
        self.findings.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnosis {
    type Item = &'a Finding;
    type IntoIter = slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, others)) = self.findings.split_last() else {
            return f.write_str("healthy: no problem was found");
        };
        others.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        write!(f, "{last}")
    }
}

const SPAN_NAME: &str = "ctxhop.doctor";

/// The parent of a probe: remote and not sampled, so that a sampler that follows its parent drops the probe.
fn unsampled_parent() -> Context {
    parent(TraceFlags::NOT_SAMPLED)
}

fn parent(flags: TraceFlags) -> Context {
    let (trace_id, span_id) =
        (TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c), SpanId::from(0xb7ad_6b71_6920_3331));
    Context::new().with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE))
}
