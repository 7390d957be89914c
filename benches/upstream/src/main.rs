//! How long it takes to run a closure in a context: attached as today, by `run_mut`, and after `ptr_eq`. See `run`.

use std::{
    env,
    error::Error,
    hint::black_box,
    process::{Command, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};

const ROUNDS: u32 = 100_000;

/// What is compared: where the context is current already, and how it is run in.
const WAYS: [(&str, bool, fn(&mut Context)); 5] = [
    ("clone, attach", false, attach),
    ("run_mut", false, |cx| cx.run_mut(|| black_box(()))),
    ("ptr_eq, else attach", false, unless_current),
    ("clone, attach, in the same context", true, attach),
    ("ptr_eq, else attach, in the same context", true, unless_current),
];

fn attach(cx: &mut Context) {
    let _guard = cx.clone().attach();
    black_box(());
}

fn unless_current(cx: &mut Context) {
    if Context::map_current(|current| current.ptr_eq(cx)) { black_box(()) } else { attach(cx) }
}

/// A span and a value: two reference counts to go up and down.
fn context() -> Context {
    let span = SpanContext::new(TraceId::from(1), SpanId::from(1), TraceFlags::SAMPLED, true, TraceState::NONE);
    Context::new().with_value(7).with_remote_span_context(span)
}

fn run(cx: &Context, is_current: bool, way: fn(&mut Context), rounds: u32) {
    let _guard = is_current.then(|| cx.clone().attach());
    let mut cx = cx.clone();
    (0..rounds).for_each(|_| way(black_box(&mut cx)));
}

/// Of a round, the fastest of many runs, on this many threads in clones of one context.
fn time(threads: usize, is_current: bool, way: fn(&mut Context)) -> f64 {
    let (cx, start) = (context(), Barrier::new(threads));
    let fastest = |_| -> Duration {
        thread::scope(|scope| {
            let timed = || {
                start.wait();
                let begin = Instant::now();
                run(&cx, is_current, way, ROUNDS);
                begin.elapsed()
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).max().unwrap_or_default()
        })
    };
    (0..51).map(fastest).min().unwrap_or_default().as_secs_f64() * 1e9 / f64::from(ROUNDS)
}

/// Of a round, by callgrind; `None` without valgrind.
fn instructions(way: usize) -> Result<Option<f64>, Box<dyn Error>> {
    let run = |rounds: u32| -> Result<Option<f64>, Box<dyn Error>> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe()?);
        let Ok(output) = valgrind.args([way.to_string(), rounds.to_string()]).stdout(Stdio::null()).output() else {
            return Ok(None);
        };
        let log = String::from_utf8(output.stderr)?;
        let (_, count) = log.rsplit_once("Collected : ").ok_or("callgrind failed")?;
        Ok(Some(count.split_whitespace().next().ok_or("no count")?.parse()?))
    };
    let (Some(twice), Some(once)) = (run(4_000)?, run(2_000)?) else { return Ok(None) };
    Ok(Some((twice - once) / 2_000.0))
}

fn main() -> Result<(), Box<dyn Error>> {
    if let [way, rounds] = &env::args().skip(1).collect::<Vec<_>>()[..] {
        let (_, is_current, way) = WAYS[way.parse::<usize>()?];
        run(&context(), is_current, way, rounds.parse()?);
        return Ok(());
    }
    println!("| | instructions | one thread | two threads, one context |\n|---|---:|---:|---:|");
    for (at, (name, is_current, way)) in WAYS.into_iter().enumerate() {
        let count = instructions(at)?.map_or("no valgrind".to_owned(), |count| format!("{count:.0}"));
        let times = [1, 2].map(|threads| format!("{:.1} ns", time(threads, is_current, way)));
        println!("| {name} | {count} | {} |", times.join(" | "));
    }
    Ok(())
}
