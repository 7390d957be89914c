use std::fmt;

/// What a [`Diagnosis`](super::Diagnosis) is made of. Its `Display` is one line: what was seen, what follows, what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The global tracer provider is OpenTelemetry's no-op one.
    NoTracerProvider,
    /// The global tracer provider was shut down.
    TracerProviderShutDown,
    /// The context that is current at the call suppresses telemetry.
    TelemetrySuppressed,
    /// The global propagator writes no headers.
    NoPropagator,
    /// The global propagator loses the span of a context.
    NoTraceContext,
    /// The global propagator loses the baggage of a context. It is advice, because many programs have no baggage.
    NoBaggage,
    /// The global propagator accepts a malformed `traceparent`.
    LenientPropagator,
    /// This thread has no `tracing` subscriber.
    ///
    /// It is advice, because the feature `tracing` may be on for the sake of another crate in the build, and nothing tells
    /// whether a program without a subscriber has spans of `tracing`. If yours has, have a test of the set-up assert that this
    /// finding is not there.
    NoSubscriber,
    /// The `tracing` subscriber disables spans of level `INFO` everywhere.
    #[non_exhaustive]
    SpansDisabled {
        /// The most verbose level that it enables.
        level: String,
    },
    /// The `tracing` subscriber disables the doctor's own span, so a part could not be checked.
    ProbeDisabled,
    /// An entered `tracing` span has no OpenTelemetry context.
    NoContextInSpan,
    /// An `OTEL_…` variable is set that the Rust SDK does not read.
    #[non_exhaustive]
    IgnoredVariable {
        /// Its name.
        name: &'static str,
    },
    /// A package uses another version of `opentelemetry` than `ctxhop` does.
    #[non_exhaustive]
    OtherOpentelemetry {
        /// The package, with its version.
        package: String,
        /// The version that it uses.
        theirs: String,
        /// The version that `ctxhop` uses.
        ours: String,
    },
    /// The lock file cannot be read.
    #[non_exhaustive]
    UnreadableLockfile {
        /// Why.
        error: String,
    },
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Traces are lost or broken.
    Problem,
    /// Right for some programs; the line says for which it is not.
    Advice,
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::NoBaggage
            | Self::LenientPropagator
            | Self::NoSubscriber
            | Self::ProbeDisabled
            | Self::IgnoredVariable { .. } => Severity::Advice,
            _ => Severity::Problem,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity() {
            Severity::Problem => "problem: ",
            Severity::Advice => "advice: ",
        })?;
        match self {
            Self::NoTracerProvider => f.write_str(
                "no tracer provider is set: spans are not recorded, and traces are empty; set one at the start: \
                 `opentelemetry::global::set_tracer_provider(provider)`",
            ),
            Self::TracerProviderShutDown => f.write_str(
                "the tracer provider is shut down: spans are not recorded any more; keep it until the program ends: \
                 `provider.shutdown()` as the last call of `main`",
            ),
            Self::TelemetrySuppressed => f.write_str(
                "telemetry is suppressed here: no span is recorded, and the context still travels; call this outside of \
                 `Context::enter_telemetry_suppressed_scope()`, which exporters use for their own work",
            ),
            Self::NoPropagator => f.write_str(
                "no propagator is set: no message carries the context; set one at the start: \
                 `opentelemetry::global::set_text_map_propagator(ctxhop::propagation::TraceContextPropagator::new())`",
            ),
            Self::NoTraceContext => f.write_str(
                "the propagator loses the span: each message starts a trace of its own; add one to the composite propagator: \
                 `Box::new(ctxhop::propagation::TraceContextPropagator::new())`",
            ),
            Self::NoBaggage => f.write_str(
                "the propagator loses baggage: receivers see none; if you use baggage, add one to the composite propagator: \
                 `Box::new(ctxhop::propagation::BaggagePropagator::new())`",
            ),
            Self::LenientPropagator => f.write_str(
                "the propagator accepts a malformed traceparent: a sender's mistake becomes a wrong parent; use the strict \
                 one: `ctxhop::propagation::TraceContextPropagator::new()`",
            ),
            Self::NoSubscriber => f.write_str(
                "this thread has no `tracing` subscriber: spans of `tracing` are disabled; if you use them, set one at the start: \
                 `tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))`",
            ),
            Self::SpansDisabled { level } => write!(
                f,
                "the `tracing` subscriber enables nothing beyond {level}: `info_span!` makes no span; let the filter pass \
                 INFO, or let it apply to log lines alone: `fmt_layer.with_filter(filter)`",
            ),
            Self::ProbeDisabled => f.write_str(
                "the `tracing` subscriber disables the target `ctxhop::doctor`: whether spans have a context was not \
                 checked; let the filter pass it: `ctxhop=info`",
            ),
            Self::NoContextInSpan => f.write_str(
                "an entered `tracing` span has no OpenTelemetry context: messages that are sent in it carry nothing; either \
                 the layer is missing (`registry().with(tracing_opentelemetry::layer().with_tracer(tracer))`), or its context \
                 activation is off (`.with_context_activation(true)`), or it is built against another version of \
                 opentelemetry (`cargo tree -d`)",
            ),
            Self::IgnoredVariable { name } => write!(
                f,
                "{name} is set, and opentelemetry_sdk {CHECKED_SDK} does not read it: it changes nothing; do in code what it \
                 says, or unset it: `unset {name}`",
            ),
            Self::OtherOpentelemetry { package, theirs, ours } => write!(
                f,
                "{package} uses opentelemetry {theirs}, and ctxhop uses opentelemetry {ours}: neither sees the context of the \
                 other; bring both to one version, and see who uses which: `cargo tree -i opentelemetry@{theirs}`",
            ),
            Self::UnreadableLockfile { error } => write!(
                f,
                "the lock file cannot be read ({error}): versions were not checked; hand over the text of `Cargo.lock`: \
                 `include_str!(\"../Cargo.lock\")`",
            ),
        }
    }
}

/// The version whose sources were searched for the variables that it reads.
const CHECKED_SDK: &str = "0.33.1";
