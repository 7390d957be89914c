//! A healthy set-up, and how they break.

use std::any::Any;

use ctxhop::propagation::TraceContextPropagator;
use opentelemetry::{Context, global, propagation::TextMapCompositePropagator, trace::TracerProvider};
use opentelemetry_sdk::{propagation::BaggagePropagator, trace::SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt, registry};

pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) healthy: bool,
    /// Sets the globals, and returns what the program has to keep.
    pub(crate) set_up: fn() -> Box<dyn Any>,
    /// The text of the program's `Cargo.lock`.
    pub(crate) lockfile: &'static str,
}

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "healthy", what: "everything is set", ..HEALTHY },
    Setup { name: "no-provider", what: "nobody set a tracer provider", set_up: no_provider, ..BROKEN },
    Setup { name: "shut-down", what: "the provider was shut down too early", set_up: shut_down, ..BROKEN },
    Setup { name: "no-propagator", what: "nobody set a propagator", set_up: no_propagator, ..BROKEN },
    Setup { name: "no-layer", what: "the OpenTelemetry layer is missing", set_up: no_layer, ..BROKEN },
    Setup {
        name: "two-versions",
        what: "two versions of opentelemetry",
        set_up: healthy,
        lockfile: TWO_VERSIONS,
        ..BROKEN
    },
    Setup { name: "no-subscriber", what: "nobody set a subscriber of `tracing`", set_up: no_subscriber, ..HEALTHY },
    Setup { name: "spans-disabled", what: "the filter passes warnings only", set_up: spans_disabled, ..BROKEN },
    Setup { name: "no-activation", what: "the layer does not activate contexts", set_up: no_activation, ..BROKEN },
    Setup { name: "baggage-alone", what: "the propagator writes baggage alone", set_up: baggage_alone, ..BROKEN },
    Setup { name: "suppressed", what: "telemetry is suppressed", set_up: suppressed, ..BROKEN },
    Setup {
        name: "target-disabled",
        what: "the filter disables the doctor's span",
        set_up: target_disabled,
        ..HEALTHY
    },
    Setup { name: "lenient", what: "the propagator is the SDK's, without baggage", set_up: lenient, ..HEALTHY },
];

const HEALTHY: Setup = Setup { name: "", what: "", healthy: true, set_up: healthy, lockfile: ONE_VERSION };

const BROKEN: Setup = Setup { healthy: false, ..HEALTHY };

const ONE_VERSION: &str = r#"
[[package]]
name = "opentelemetry"
version = "0.33.1"

[[package]]
name = "ctxhop"
version = "0.1.0"
dependencies = ["opentelemetry"]
"#;

const TWO_VERSIONS: &str = r#"
[[package]]
name = "opentelemetry"
version = "0.31.0"

[[package]]
name = "opentelemetry"
version = "0.33.1"

[[package]]
name = "tracing-opentelemetry"
version = "0.32.1"
dependencies = ["opentelemetry 0.31.0", "tracing"]

[[package]]
name = "ctxhop"
version = "0.1.0"
dependencies = ["opentelemetry 0.33.1"]
"#;

fn provider() -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder().build();
    global::set_tracer_provider(provider.clone());
    provider
}

fn propagator() {
    global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]));
}

fn subscriber(provider: &SdkTracerProvider, activation: bool) {
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop")).with_context_activation(activation);
    tracing::subscriber::set_global_default(registry().with(layer)).expect("the only subscriber");
}

fn healthy() -> Box<dyn Any> {
    let provider = provider();
    propagator();
    subscriber(&provider, true);
    Box::new(())
}

fn no_provider() -> Box<dyn Any> {
    propagator();
    subscriber(&SdkTracerProvider::builder().build(), true);
    Box::new(())
}

fn shut_down() -> Box<dyn Any> {
    healthy();
    provider().shutdown().expect("the first time");
    Box::new(())
}

fn no_propagator() -> Box<dyn Any> {
    let provider = provider();
    subscriber(&provider, true);
    Box::new(())
}

fn no_layer() -> Box<dyn Any> {
    provider();
    propagator();
    tracing::subscriber::set_global_default(registry()).expect("the only subscriber");
    Box::new(())
}

fn no_subscriber() -> Box<dyn Any> {
    provider();
    propagator();
    Box::new(())
}

fn spans_disabled() -> Box<dyn Any> {
    provider();
    propagator();
    tracing::subscriber::set_global_default(registry().with(LevelFilter::WARN)).expect("the only subscriber");
    Box::new(())
}

fn no_activation() -> Box<dyn Any> {
    let provider = provider();
    propagator();
    subscriber(&provider, false);
    Box::new(())
}

fn baggage_alone() -> Box<dyn Any> {
    let provider = provider();
    subscriber(&provider, true);
    global::set_text_map_propagator(BaggagePropagator::new());
    Box::new(())
}

fn target_disabled() -> Box<dyn Any> {
    provider();
    propagator();
    let filter = filter_fn(|metadata| metadata.target() != "ctxhop::doctor");
    tracing::subscriber::set_global_default(registry().with(filter)).expect("the only subscriber");
    Box::new(())
}

fn lenient() -> Box<dyn Any> {
    let provider = provider();
    subscriber(&provider, true);
    global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    Box::new(())
}

fn suppressed() -> Box<dyn Any> {
    healthy();
    Box::new(Context::enter_telemetry_suppressed_scope())
}
