//! Strict mode, on programs that are broken as users break them, and on their mended twins. It belongs to the process, so each
//! program runs in a process of its own.

mod support;

use std::{
    env,
    future::pending,
    mem, panic,
    pin::Pin,
    process::{Command, Output},
    sync::{Arc, OnceLock},
    thread::sleep,
    time::{Duration, Instant},
};

use ctxhop::{
    WithContext,
    carrier::{self, Headers},
    messaging::Destination,
    prelude::*,
    strict::{self, Action, Config, Problem, Report, Strict},
};
use opentelemetry::{
    Context,
    context::{ContextObserver, GlobalContextObserver},
    trace::{SpanKind, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use support::tagged;
use tokio::{
    runtime,
    sync::oneshot,
    task::{JoinHandle, LocalSet, yield_now},
};

struct Program {
    name: &'static str,
    broken: fn(&SdkTracer),
    mended: fn(&SdkTracer),
    /// What the report of the broken one says, in this order.
    expected: &'static [&'static str],
}

const PROGRAMS: &[Program] = &[
    Program {
        name: "a guard across an await",
        broken: |_| {
            block_on(async {
                LocalSet::new()
                    .run_until(async { ctxhop::tokio::spawn_local(guard_across_await()).await.unwrap() })
                    .await;
            });
        },
        mended: |_| {
            block_on(async {
                LocalSet::new()
                    .run_until(async {
                        ctxhop::tokio::spawn_local(yield_now().with_context(tagged("auth"))).await.unwrap()
                    })
                    .await;
            });
        },
        expected: &[
            "1 problem in 1 hop",
            "LEAKED    1 guard outlives the work of tokio::spawn_local at tests/strict.rs",
            "attached by ",
            " at tests/strict.rs:",
        ],
    },
    Program {
        name: "a guard that is forgotten, and seen later",
        broken: |_| {
            tagged("request").wrap(|| mem::forget(tagged("auth").attach()))();
            (0..5).for_each(|_| tagged("other").wrap(|| ())());
        },
        mended: |_| {
            tagged("request").wrap(|| drop(tagged("auth").attach()))();
            (0..5).for_each(|_| tagged("other").wrap(|| ())());
        },
        expected: &[
            "1 problem in 6 hops",
            "LEAKED    1 guard outlives the work of wrap at tests/strict.rs",
            "5 later hops on its thread saw it",
        ],
    },
    Program {
        name: "a guard that is forgotten after others that are not, and seen once",
        broken: |_| {
            tagged("request").wrap(|| {
                drop(tagged("before").attach());
                mem::forget(tagged("auth").attach());
            })();
            tagged("other").wrap(|| ())();
        },
        mended: |_| tagged("request").wrap(|| drop(tagged("before").attach()))(),
        expected: &["1 problem in 2 hops", "LEAKED    1 guard outlives", "1 later hop on its thread saw it"],
    },
    Program {
        name: "a hop where the context is lost already",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |tracer| block_on(lost(tracer.clone(), |work| ctxhop::tokio::spawn(work))),
        expected: &[
            "1 problem in 1 hop",
            "LOST      1 of 1 captures were empty while spans were open: tokio::spawn_blocking at tests/strict.rs",
            "roots that came of it: page ×1, render ×2",
        ],
    },
    Program {
        name: "a bare thread",
        broken: |tracer| bare_thread(tracer, std::thread::spawn),
        mended: |tracer| bare_thread(tracer, ctxhop::thread::spawn),
        expected: &[
            "1 problem in 0 hops",
            "ROOT      1 span has no parent, outside any hop, while others were open: \"render\"",
            "started by ",
            "bare_thread",
        ],
    },
    Program {
        name: "root spans of more names than are told apart",
        broken: |tracer| {
            let _open = tracer.start("other");
            (0..300).for_each(|job| drop(tracer.start(format!("job {job}"))));
        },
        mended: |tracer| (0..300).for_each(|job| drop(tracer.start(format!("job {job}")))),
        expected: &["257 problems", "ROOT      44 spans have no parent", "\"(other names)\""],
    },
    Program {
        name: "a pooled connection that outlives its request",
        broken: |tracer| block_on(pooled(tracer, |connection| ctxhop::tokio::spawn(connection))),
        mended: |tracer| {
            block_on(pooled(tracer, |connection| {
                tokio::spawn(connection.with_context(Context::current().parent_only()))
            }))
        },
        expected: &[
            "1 problem in 1 hop",
            "HELD      1 hop holds the ended span \"GET /orders\"",
            "tokio::spawn at tests/strict.rs",
        ],
    },
    Program {
        name: "a detached future in a task that carries",
        broken: |tracer| block_on(fire_and_forget(tracer, |work| ctxhop::tokio::spawn(work.detached()))),
        mended: |tracer| block_on(fire_and_forget(tracer, |work| ctxhop::tokio::spawn_detached(work))),
        expected: &["OPEN      1 span has not ended: \"GET /orders\"", "held by tokio::spawn at tests/strict.rs"],
    },
    Program {
        name: "the last value of a watch",
        broken: |tracer| watch(tracer, |tx| tx.send_with_current_context(7).unwrap()),
        mended: |tracer| watch(tracer, |tx| tx.send_parent_only(7).unwrap()),
        expected: &["OPEN      1 span has not ended: \"GET /orders\"", "held by channel::send at tests/strict.rs"],
    },
    Program {
        name: "the last value of a watch that is modified",
        broken: |tracer| watch(tracer, |tx| tx.send_modify_with_current_context(|n| *n += 1)),
        mended: |tracer| watch(tracer, |tx| tx.send_modify_parent_only(|n| *n += 1)),
        expected: &[
            "OPEN      1 span has not ended: \"GET /orders\"",
            "held by channel::send_modify at tests/strict.rs",
        ],
    },
    Program {
        name: "what is detached on purpose, and what it spawns",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |tracer| {
            block_on(async {
                let (_open, render) = (tracer.start("other"), tracer.clone());
                // A capture that makes no hop.
                drop(Context::capture());
                let accept = async { ctxhop::tokio::spawn(async move { drop(render.start("flush")) }).await.unwrap() };
                ctxhop::tokio::spawn_detached(accept).await.unwrap();
            });
        },
        expected: &["LOST      1 of 1 captures"],
    },
    Program {
        name: "a trace that is started on purpose",
        broken: |tracer| bare_thread(tracer, std::thread::spawn),
        mended: |tracer| {
            let _open = tracer.start("other");
            drop(tracer.start("expected root"));
            for kind in [SpanKind::Server, SpanKind::Consumer] {
                drop(tracer.span_builder("of a message").with_kind(kind).start(tracer));
            }
        },
        expected: &["ROOT      1 span"],
    },
    Program {
        name: "a provider without the processor",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |_| block_on(lost(SdkTracerProvider::builder().build().tracer("other"), |work| tokio::spawn(work))),
        expected: &["LOST      1 of 1 captures"],
    },
    Program {
        name: "a hop in the work of another one, which holds an ended span",
        broken: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            request.clone().wrap(|| mem::forget(1.with_current_context()))();
            request.span().end();
        },
        mended: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            request.clone().wrap(|| drop(1.with_current_context()))();
            request.span().end();
        },
        expected: &["HELD      1 hop holds the ended span \"GET /orders\"", "by way of: wrap at tests/strict.rs"],
    },
    Program {
        name: "hops in the work of others, as many as are remembered and more",
        broken: |tracer| {
            for (name, hops) in [("eight", 8), ("thirty", 30)] {
                let request = Context::new().with_span(tracer.start(name));
                request.run(|| nested(hops, || mem::forget(1.with_current_context())));
                request.span().end();
            }
        },
        mended: |tracer| {
            let request = Context::new().with_span(tracer.start("thirty"));
            request.run(|| nested(30, || drop(1.with_current_context())));
            request.span().end();
        },
        expected: &["2 problems", "\"eight\"", "by way of: wrap at", "\"thirty\"", "by way of: wrap at"],
    },
    Program {
        name: "a span that has lasted for long, and is held since its end",
        broken: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            mem::forget(request.clone().wrap(|| ()));
            sleep(Duration::from_millis(30));
            let before = Instant::now();
            request.span().end();
            let report = STRICT.get().unwrap().report();
            let [Problem::Held { longest, .. }] = report.problems() else { panic!("{report}") };
            assert!(*longest <= before.elapsed(), "{report}");
        },
        mended: |tracer| {
            let request = Context::new().with_span(tracer.start("GET /orders"));
            request.clone().wrap(|| ())();
            request.span().end();
        },
        expected: &["HELD      1 hop holds the ended span \"GET /orders\""],
    },
    Program {
        name: "a hop in a processor, while a span ends",
        broken: |tracer| bare_thread(tracer, std::thread::spawn),
        mended: |_| {
            let provider = SdkTracerProvider::builder().with_span_processor(HopsAtEnd).build();
            let tracer = provider.tracer("hops");
            Context::new().with_span(tracer.start("request")).run(|| Context::current().span().end());
        },
        expected: &["ROOT      1 span"],
    },
    Program {
        name: "a provider that is shut down",
        broken: |tracer| cache(Context::new().with_span(tracer.start("GET /orders"))),
        mended: |_| {
            let provider = SdkTracerProvider::builder().with_span_processor(STRICT.get().unwrap().processor()).build();
            mem::forget(provider.tracer("other").start("GET /orders"));
            provider.shutdown().unwrap();
        },
        expected: &["OPEN      1 span"],
    },
    Program {
        name: "a context in a cache",
        broken: |tracer| cache(Context::new().with_span(tracer.start("GET /orders"))),
        mended: |tracer| cache(Context::new().with_span(tracer.start("GET /orders")).parent_only()),
        expected: &["1 problem in 0 hops", "OPEN      1 span has not ended: \"GET /orders\""],
    },
    Program {
        name: "a guard that is forgotten in a piece of a parallel iterator",
        broken: |_| in_pieces(|| mem::forget(tagged("auth").attach())),
        mended: |_| in_pieces(|| drop(tagged("auth").attach())),
        expected: &[
            "1 problem in 1 hop",
            "LEAKED    1 guard outlives the work of with_context at tests/strict.rs",
            "attached by ",
        ],
    },
    Program {
        name: "the items of a batch that outlive their request",
        broken: |tracer| batch(&Context::new().with_span(tracer.start("GET /orders")), Clone::clone),
        mended: |tracer| batch(&Context::new().with_span(tracer.start("GET /orders")), ContextExt::parent_only),
        expected: &["1 problem in 1 hop", "HELD      1 hop holds the ended span", "with_context at tests/strict.rs"],
    },
    Program {
        name: "a trace that is started on purpose, in the pieces of a parallel iterator",
        broken: |tracer| roots_in_pieces(tracer, std::thread::spawn),
        mended: |tracer| roots_in_pieces(tracer, ctxhop::thread::spawn_detached),
        expected: &[
            "1 problem in 1 hop",
            "LOST      1 of 1 captures were empty while spans were open: with_context at tests/strict.rs",
            "roots that came of it: flush ×64",
        ],
    },
    Program {
        name: "a trace that is started on purpose, in the halves of a join",
        broken: |tracer| roots_in_halves(tracer, std::thread::spawn),
        mended: |tracer| roots_in_halves(tracer, ctxhop::thread::spawn_detached),
        expected: &["1 problem in 0 hops", "ROOT      2 spans have no parent"],
    },
    Program {
        name: "a hop that is given nothing, after a join that captured nothing",
        broken: |tracer| block_on(lost(tracer.clone(), |work| tokio::spawn(work))),
        mended: |tracer| {
            let (_open, flush) = (tracer.start("other"), tracer.clone());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            pool.join_with_current_context(|| (), || ());
            ctxhop::thread::spawn_with_context(Context::new(), move || drop(flush.start("flush"))).join().unwrap();
        },
        expected: &["LOST      1 of 1 captures"],
    },
    Program {
        name: "a thread without room",
        broken: |_| {
            let _guards: Vec<_> = (0..65_600).map(|_| Context::new().attach()).collect();
            tagged("request").run(|| ());
        },
        mended: |_| {
            let _guards: Vec<_> = (0..1_000).map(|_| Context::new().attach()).collect();
            tagged("request").run(|| ());
        },
        expected: &[
            "1 problem in 0 hops",
            "FULL      1 context found no room: the thread has 65,534 contexts attached",
        ],
    },
    Program {
        name: "a guard on a thread that had no room before",
        broken: |tracer| {
            let mut guards: Vec<_> = (0..65_600).map(|_| Context::new().attach()).collect();
            tagged("request").wrap(|| ())();
            while guards.pop().is_some() {}
            let _start = Context::new().with_span(tracer.start("start")).attach();
            drop(carrier::extract(&Headers::new()));
        },
        mended: |tracer| {
            tagged("request").wrap(|| ())();
            Context::new().with_span(tracer.start("start")).run(|| ());
            drop(carrier::extract(&Headers::new()));
        },
        expected: &["2 problems in 1 hop", "FULL      1 context found no room", "NON-ROOT  1 message"],
    },
    Program {
        name: "a guard around hops whose guards are dropped out of order",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            tagged("job").wrap(out_of_order)();
            drop(carrier::extract(&Headers::new()));
        },
        mended: |_| {
            tagged("job").wrap(out_of_order)();
            drop(carrier::extract(&Headers::new()));
        },
        expected: &["1 problem in 1 hop", "NON-ROOT  1 message"],
    },
    Program {
        name: "a guard around a hop that leaks another one, which is dropped later",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            drop(tagged("job").wrap(|| tagged("auth").attach())());
            drop(carrier::extract(&Headers::new()));
        },
        mended: |_| {
            tagged("job").wrap(|| drop(tagged("auth").attach()))();
            drop(carrier::extract(&Headers::new()));
        },
        expected: &["2 problems in 1 hop", "LEAKED    1 guard", "NON-ROOT  1 message"],
    },
    Program {
        name: "a guard around block_on",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            block_on(async { Destination::new("rabbitmq", "orders").process(&Headers::new()).run(|| ()) });
        },
        mended: |tracer| {
            Context::new().with_span(tracer.start("start")).run(|| ());
            block_on(async { Destination::new("rabbitmq", "orders").process(&Headers::new()).run(|| ()) });
        },
        expected: &[
            "NON-ROOT  1 message was received while a span was current that no hop attached: process at tests/strict.rs",
        ],
    },
    Program {
        name: "a guard around a consumer's loop",
        broken: |tracer| {
            let _start = Context::new().with_span(tracer.start("start")).attach();
            drop(carrier::extract(&Headers::new()));
        },
        mended: |tracer| {
            Context::new().with_span(tracer.start("start")).run(|| ());
            drop(carrier::extract(&Headers::new()));
        },
        expected: &[
            "1 problem in 0 hops",
            "NON-ROOT  1 message was received while a span was current that no hop attached: extract at tests/strict.rs",
        ],
    },
];

/// A bare spawn, or one that carries the context.
type Spawn = fn(Pin<Box<dyn Future<Output = ()> + Send>>) -> JoinHandle<()>;

async fn guard_across_await() {
    let _guard = tagged("auth").attach();
    yield_now().await;
}

fn out_of_order() {
    let (first, second) = (tagged("first").attach(), tagged("second").attach());
    drop(first);
    drop(second);
}

/// Does the work in that many hops, each in the work of the one before.
fn nested(hops: usize, work: fn()) {
    if hops == 0 { work() } else { Context::current().wrap(|| nested(hops - 1, work))() }
}

async fn lost(tracer: SdkTracer, spawn: Spawn) {
    let request = Context::new().with_span(tracer.start("request"));
    let work = async move {
        let render = move || {
            drop(tracer.start("render"));
            drop(tracer.start("page"));
            drop(tracer.start("render"));
        };
        ctxhop::tokio::spawn_blocking(render).await.unwrap();
    };
    request.run(|| spawn(Box::pin(work))).await.unwrap();
}

type SpawnThread = fn(Box<dyn FnOnce() + Send>) -> std::thread::JoinHandle<()>;

fn bare_thread(tracer: &SdkTracer, spawn: SpawnThread) {
    let request = Context::new().with_span(tracer.start("request"));
    let tracer = tracer.clone();
    request.run(|| spawn(Box::new(move || drop(tracer.start("render"))))).join().unwrap();
}

async fn pooled(tracer: &SdkTracer, spawn: Spawn) {
    let request = Context::new().with_span(tracer.start("GET /orders"));
    let (opened, open) = oneshot::channel();
    let connection = async move {
        opened.send(()).unwrap();
        pending().await
    };
    // As a pool keeps it.
    mem::forget(request.run(|| spawn(Box::pin(connection))));
    open.await.unwrap();
    request.span().end();
}

/// Makes a hop inside of the span that ends.
#[derive(Debug)]
struct HopsAtEnd;

impl SpanProcessor for HopsAtEnd {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {
        drop(1.with_current_context());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

async fn fire_and_forget(tracer: &SdkTracer, spawn: Spawn) {
    let request = Context::new().with_span(tracer.start("GET /orders"));
    mem::forget(request.run(|| spawn(Box::pin(pending()))));
}

fn watch(tracer: &SdkTracer, send: fn(&tokio::sync::watch::Sender<WithContext<u32>>)) {
    let (tx, rx) = tokio::sync::watch::channel(0.detached());
    Context::new().with_span(tracer.start("GET /orders")).run(|| send(&tx));
    mem::forget((tx, rx));
}

fn cache(cx: Context) {
    static CACHE: OnceLock<Context> = OnceLock::new();
    CACHE.get_or_init(|| cx);
}

fn in_pieces(last: fn()) {
    let numbers = (0..64).into_par_iter().with_context(tagged("request")).with_min_len(1);
    numbers.for_each(|number| {
        if number == 63 {
            last();
        }
    });
}

fn roots_in_pieces(tracer: &SdkTracer, spawn: SpawnThread) {
    let (_open, tracer) = (tracer.start("other"), tracer.clone());
    let work = move || {
        let pieces = (0..64).into_par_iter().with_max_len(1).with_current_context();
        pieces.for_each(|_| drop(tracer.start("flush")));
    };
    spawn(Box::new(work)).join().unwrap();
}

fn roots_in_halves(tracer: &SdkTracer, spawn: SpawnThread) {
    let (_open, tracer) = (tracer.start("other"), tracer.clone());
    let flush = move || drop(tracer.start("flush"));
    spawn(Box::new(move || _ = ctxhop::rayon::join(&flush, &flush))).join().unwrap();
}

fn batch(request: &Context, carried: fn(&Context) -> Context) {
    let orders = vec![String::from("apples"), String::from("pears")].with_context(carried(request));
    mem::forget(orders.map_inner(|orders| orders).into_items().collect::<Vec<_>>());
    request.span().end();
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
    assert!(report.contains("LEAKED    1 guard outlives the work of wrap at tests/strict.rs"), "{report}");
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
