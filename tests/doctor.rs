//! The doctor, on set-ups that are healthy and broken. What is set up is global, so each set-up has a process of its own.

#[path = "../examples/doctor/setups.rs"]
mod setups;

#[path = "support/own_process.rs"]
mod own_process;

use std::{
    env,
    process::{Command, Output},
};

use ctxhop::{
    doctor::{self, Diagnosis, Finding, Severity},
    testing::TraceRecorder,
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use own_process::in_own_process;
use setups::SETUPS;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

const CHILD: &str = "CTXHOP_DOCTOR_SET_UP";

/// Starts this test again for each set-up.
#[test]
fn each_set_up_has_its_finding() {
    if let Ok(name) = env::var(CHILD) {
        return show(&name);
    }
    let expected = [
        ("healthy", "[]"),
        ("no-provider", "[NoTracerProvider]"),
        ("shut-down", "[TracerProviderShutDown]"),
        ("no-propagator", "[NoPropagator]"),
        ("no-layer", "[NoContextInSpan]"),
        (
            "two-versions",
            r#"[OtherOpentelemetry { package: "tracing-opentelemetry 0.32.1", theirs: "0.31.0", ours: "0.33.1" }]"#,
        ),
        ("no-subscriber", "[NoSubscriber]"),
        ("spans-disabled", r#"[SpansDisabled { level: "warn" }]"#),
        ("no-activation", "[NoContextInSpan]"),
        ("baggage-alone", "[NoTraceContext]"),
        ("suppressed", "[TelemetrySuppressed]"),
        ("target-disabled", "[ProbeDisabled]"),
        ("lenient", "[NoBaggage, LenientPropagator]"),
    ];
    let names: Vec<_> = SETUPS.iter().map(|setup| setup.name).collect();
    assert_eq!(names, expected.map(|(name, _)| name), "each set-up has a row here");
    for (name, findings) in expected {
        assert_eq!(found(&run(name, &[])), findings, "{name}");
    }
}

#[test]
fn a_variable_that_the_sdk_does_not_read_is_named() {
    // As the other test does, in a process of its own, because the environment is global too.
    let output =
        run("healthy", &[("OTEL_PROPAGATORS", "b3"), ("OTEL_SDK_DISABLED", ""), ("OTEL_SERVICE_NAME", "shop")]);
    assert_eq!(found(&output), r#"[IgnoredVariable { name: "OTEL_PROPAGATORS" }]"#);
}

/// A sampler that follows its parent drops the spans of the checks, and another one may not.
#[test]
fn the_spans_of_the_checks_have_a_parent_that_is_not_sampled() {
    let without_sampler = |command: &mut Command| {
        command.env_remove("OTEL_TRACES_SAMPLER");
    };
    if in_own_process("the_spans_of_the_checks_have_a_parent_that_is_not_sampled", without_sampler) {
        let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder());
        recorder.install_global();
        drop(doctor::check());
        assert!(recorder.spans().is_empty());
        let recorder = TraceRecorder::new();
        recorder.install_global();
        drop(doctor::check());
        let spans = recorder.spans();
        assert!(!spans.is_empty() && spans.iter().all(|span| span.name == "ctxhop.doctor"), "{spans:?}");
        assert!(spans.iter().all(|span| span.parent_span_is_remote), "{spans:?}");
    }
}

#[test]
fn a_subscriber_that_enables_spans_of_level_info_is_enough() {
    if in_own_process("a_subscriber_that_enables_spans_of_level_info_is_enough", |_| {}) {
        let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO);
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let diagnosis = doctor::check();
        let mut findings = (&diagnosis).into_iter();
        assert!(findings.all(|finding| !matches!(finding, Finding::SpansDisabled { .. })), "{diagnosis}");
        assert!((&diagnosis).into_iter().eq(diagnosis.iter()) && diagnosis.iter().count() > 0, "{diagnosis}");
    }
}

#[test]
fn versions_come_from_the_lock_file() {
    let own = Diagnosis::default().lockfile(include_str!("../Cargo.lock"));
    assert!(own.is_healthy(), "{own}");

    for (lockfile, why) in [
        ("[[package", "unclosed array table"),
        ("", "it lists no packages"),
        ("[[package]]\nname = 'serde'\nversion = '1.0.0'", "it lists no ctxhop that uses opentelemetry"),
    ] {
        let diagnosis = Diagnosis::default().lockfile(lockfile);
        let [Finding::UnreadableLockfile { error, .. }] = diagnosis.iter().as_slice() else { panic!("{diagnosis}") };
        assert!(error.contains(why), "{error}");
        assert!(!diagnosis.is_healthy());
    }
}

#[test]
fn advice_leaves_a_program_healthy() {
    assert_eq!(Finding::NoBaggage.severity(), Severity::Advice);
    assert!(Finding::NoBaggage.to_string().starts_with("advice: the propagator loses baggage"));
    // The feature `tracing` may be on because of another crate.
    assert_eq!(Finding::NoSubscriber.severity(), Severity::Advice);
    assert!(Finding::NoSubscriber.to_string().contains("; if you use them, set one at the start"));
    assert_eq!(Finding::NoPropagator.severity(), Severity::Problem);
    assert!(Diagnosis::default().is_healthy());
    assert_eq!(Diagnosis::default().to_string(), "healthy: no problem was found");
}

fn show(name: &str) {
    let setup = SETUPS.iter().find(|setup| setup.name == name).expect("a set-up of this name");
    let _kept = (setup.set_up)();
    let diagnosis = doctor::check().lockfile(setup.lockfile);
    assert_eq!(diagnosis.is_healthy(), setup.healthy, "{}: {diagnosis}", setup.what);
    println!("\nfound: {:?}", diagnosis.iter().collect::<Vec<_>>());
}

fn run(name: &str, variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(env::current_exe().unwrap());
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OTEL_")) {
        child.env_remove(name);
    }
    child.args(["--exact", "each_set_up_has_its_finding", "--nocapture"]).env(CHILD, name);
    child.envs(variables.iter().copied()).output().unwrap()
}

fn found(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("found: ")).expect("a line of findings").to_owned()
}
