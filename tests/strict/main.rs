//! Strict mode, on programs that are broken as users break them, and on their mended twins. It belongs to the process, so each
//! program runs in a process of its own.

mod programs;
#[path = "../support/mod.rs"]
mod support;
mod work;

use std::{
    env, mem, panic,
    process::{Command, Output},
    sync::{Arc, OnceLock},
    time::Duration,
};

use ctxhop::strict::{self, Action, Config, Problem, Report, Strict};
use opentelemetry::{
    Context,
    context::{ContextObserver, GlobalContextObserver},
    trace::TracerProvider,
};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use programs::PROGRAMS;
use tokio::runtime;

struct Program {
    name: &'static str,
    broken: fn(&SdkTracer),
    mended: fn(&SdkTracer),
    /// What the report of the broken one says, in this order.
    expected: &'static [&'static str],
}

static STRICT: OnceLock<Strict> = OnceLock::new();

fn block_on(work: impl Future<Output = ()>) {
    // Kept, because strict mode looks at what is alive at the end.
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(work);
    mem::forget(runtime);
}

const PROGRAM: &str = "CTXHOP_STRICT_PROGRAM";
const ACTION: &str = "CTXHOP_STRICT_ACTION";
const OBSERVER: &str = "CTXHOP_STRICT_OBSERVER";

/// Somebody else's, in the one place that a process has.
struct OtherObserver;

impl ContextObserver for OtherObserver {
    fn on_context_enter(&self, _: &Context, _: &Context) {}

    fn on_context_exit(&self, _: &Context, _: &Context) {}
}

/// Starts this test again for each program.
#[test]
fn each_program_has_its_report() {
    if let Ok(name) = env::var(PROGRAM) {
        return run(&name);
    }
    for program in PROGRAMS {
        let report = report(&start(&format!("broken: {}", program.name), "count"));
        let mut rest = report.as_str();
        for words in program.expected {
            let Some((_, after)) = rest.split_once(words) else {
                panic!("{}: no {words:?} in\n{report}", program.name)
            };
            rest = after;
        }
        assert!(!report.contains(" 0 later hops"), "{report}");
        let report = self::report(&start(&format!("mended: {}", program.name), "count"));
        assert!(report.contains("no problem in"), "{}:\n{report}", program.name);
    }
}

#[test]
fn a_problem_is_logged_or_panics_where_it_is_seen() {
    let name = "broken: a guard that is forgotten, and seen later";
    let output = start(name, "log");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stderr).contains("ctxhop strict: LEAKED    1 guard outlives"), "{output:?}");

    let output = start(name, "panic");
    assert!(!output.status.success(), "{output:?}");
    assert!(
        text(&output.stdout).contains("ctxhop strict: LEAKED    1 guard outlives")
            || text(&output.stderr).contains("ctxhop strict: LEAKED    1 guard outlives"),
        "{output:?}"
    );
}

/// An attach never panics, because destructors attach.
#[test]
fn a_thread_without_room_does_not_panic() {
    let output = start("broken: a thread without room", "panic");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stderr).contains("ctxhop strict: FULL      1 context found no room"), "{output:?}");
}

#[test]
fn beside_another_observer_the_hop_is_named_and_not_the_guard() {
    let mut child = child("broken: a guard that is forgotten, and seen later", "count");
    let report = report(&child.env(OBSERVER, "other").output().unwrap());
    assert!(report.contains("LEAKED    1 guard outlives the work of wrap at tests/strict/programs.rs"), "{report}");
    assert!(!report.contains("attached by"), "{report}");
}

fn run(name: &str) {
    let is_alone = env::var_os(OBSERVER).is_none();
    if !is_alone {
        GlobalContextObserver::set(Arc::new(OtherObserver));
    }
    let action = match env::var(ACTION).as_deref() {
        Ok("log") => Action::Log,
        Ok("panic") => Action::Panic,
        _ => Action::Count,
    };
    let config = Config::new().on_problem(action).patience(Duration::ZERO).expect_roots(["expected root"]);
    STRICT.get_or_init(|| strict::install(config));
    // It is the same one, and has the settings of the first call.
    let strict = strict::install(Config::new().on_problem(Action::Log).patience(Duration::MAX));
    assert_eq!(strict.report().names_guards(), is_alone);
    let tracer = SdkTracerProvider::builder().with_span_processor(strict.processor()).build().tracer("strict");
    let (kind, name) = name.split_once(": ").unwrap();
    let program = PROGRAMS.iter().find(|program| program.name == name).unwrap();
    if kind == "broken" {
        (program.broken)(&tracer)
    } else {
        (program.mended)(&tracer)
    }
    let report = strict.report();
    println!("\n{report}\nEND");
    agrees_with_its_text(&report, is_alone);
    assert_eq!(report.problems().is_empty(), kind == "mended");
    assert_eq!(panic::catch_unwind(|| strict.assert_clean()).is_ok(), kind == "mended");
}

fn agrees_with_its_text(report: &Report, names_guards: bool) {
    assert!(report.to_string().contains(&format!(" in {} hop", report.hops())), "{report}");
    for problem in report.problems() {
        let text = problem.to_string();
        assert!(report.to_string().contains(&text), "{report}");
        if let Problem::Leaked { hop, .. }
        | Problem::Lost { hop, .. }
        | Problem::Held { hop, .. }
        | Problem::NonRoot { at: hop, .. } = problem
        {
            let called = hop.to_string();
            assert!(called.starts_with(&format!("{} at {}:{}:", hop.name(), hop.file(), hop.line())), "{called}");
            assert!(text.contains(&called), "{text}");
        }
        match problem {
            // No guard of these programs leaks twice, and no other than it is named.
            Problem::Leaked { attached_by, .. } => assert_eq!(attached_by.len(), usize::from(names_guards), "{text}"),
            Problem::Held { via, .. } => assert!(via.len() <= 8, "{text}"),
            _ => {}
        }
        if let Problem::Held { longest, .. } | Problem::Open { longest, .. } = problem {
            let unit = if *longest < Duration::from_secs(1) { " ms" } else { " s" };
            assert!(text.contains(unit), "{text}");
        }
    }
}

fn start(name: &str, action: &str) -> Output {
    child(name, action).output().unwrap()
}

fn child(name: &str, action: &str) -> Command {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "each_program_has_its_report", "--nocapture"]).env(PROGRAM, name).env(ACTION, action);
    child
}

fn report(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = text(&output.stdout);
    let (_, report) = text.split_once("ctxhop strict: ").expect("a report");
    report.split_once("\nEND").expect("its end").0.to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
