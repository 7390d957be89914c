//! Bare spawns on runtimes with hooks. Built with `--cfg tokio_unstable` only.

#![cfg(tokio_unstable)]

mod support;

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use ctxhop::{
    Snapshot,
    testing::TraceRecorder,
    tokio::hooks::{self, Hooks},
};
use opentelemetry::{
    Context,
    trace::{TraceContextExt, Tracer},
};
use support::{stranger, tag, tagged};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::{JoinHandle, LocalSet, block_in_place, spawn_blocking, yield_now},
};

type Tag = Option<&'static str>;

fn runtimes(hooks: &Hooks) -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| hooks.install(&mut builder).build().unwrap())
}

/// Spawns a bare task inside of a context, on a thread that has another one.
fn spawn_in<F>(cx: Context, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    cx.run(|| tokio::spawn(future))
}

/// Tells in which context it is dropped.
struct OnDrop(Arc<Mutex<Vec<Tag>>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(tag());
    }
}

#[test]
fn a_bare_task_runs_in_its_spawners_context_and_leaves_the_thread_as_it_was() {
    let hooks = Hooks::new();
    for runtime in runtimes(&hooks) {
        let seen = runtime.block_on(async {
            let task = spawn_in(tagged("request"), async {
                let first = tag();
                yield_now().await;
                let child = tokio::spawn(async { tag() }).await.unwrap();
                (first, tag(), child)
            });
            let bare = spawn_in(Context::new(), async { tag() });
            (task.await.unwrap(), bare.await.unwrap(), tag())
        });
        assert_eq!(seen, ((Some("request"), Some("request"), Some("request")), None, None));
    }
    assert!(hooks.is_empty(), "{hooks:?}");
}

#[test]
fn a_task_without_a_context_sees_none_of_the_thread_that_polls_it() {
    let [current, _] = runtimes(&Hooks::new());
    let _guard = stranger().attach();
    let task = Context::new().run(|| current.spawn(async { tag() }));
    assert_eq!(current.block_on(async { (task.await.unwrap(), tag()) }), (None, Some("stranger")));
}

#[test]
fn a_task_that_panics_or_is_aborted_is_dropped_inside_and_let_go() {
    let hooks = Hooks::new();
    for runtime in runtimes(&hooks) {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let on_drop = || OnDrop(Arc::clone(&dropped));
        runtime.block_on(async {
            let (held, begun) = (on_drop(), oneshot::channel());
            let panics = spawn_in(tagged("panics"), async move {
                let _held = held;
                panic!("on purpose");
            });
            assert!(panics.await.unwrap_err().is_panic());

            let held = on_drop();
            let midway = spawn_in(tagged("midway"), async move {
                let _held = held;
                begun.0.send(()).unwrap();
                pending::<()>().await;
            });
            begun.1.await.unwrap();
            midway.abort();
            assert!(midway.await.unwrap_err().is_cancelled());

            let after = spawn_in(Context::new(), async { tag() });
            assert_eq!(after.await.unwrap(), None, "the worker is clean");
        });
        assert_eq!(*dropped.lock().unwrap(), [Some("panics"), Some("midway")]);
    }
    assert!(hooks.is_empty(), "{hooks:?}");
}

#[test]
fn a_task_keeps_its_spawners_span_open_only_where_it_is_asked_to() {
    for (hooks, open_meanwhile) in [(Hooks::new(), 0), (Hooks::new().whole(), 1)] {
        let recorder = TraceRecorder::new();
        let tracer = recorder.tracer("shop");
        let [current, _] = runtimes(&hooks);
        current.block_on(async {
            let (go, gone) = oneshot::channel::<()>();
            let request = Context::new().with_span(tracer.start("request"));
            let child = tracer.clone();
            let task = spawn_in(request, async move {
                gone.await.unwrap();
                drop(child.start("later"));
            });
            assert_eq!(recorder.spans().len(), 1 - open_meanwhile);
            go.send(()).unwrap();
            task.await.unwrap();
        });
        recorder.tree().assert_single_trace();
        assert_eq!(recorder.spans().len(), 2);
    }
}

/// The hook cannot tell tasks of `spawn_detached` and `spawn_parent_only` from others: they see what is bound by hand, and hold more.
#[test]
fn hooks_that_carry_the_whole_context_hold_the_span_for_detached_tasks_too() {
    let spawns: [fn(oneshot::Receiver<()>) -> JoinHandle<bool>; 2] = [
        |gone| ctxhop::tokio::spawn_detached(async { gone.await.is_ok() && Context::current().has_active_span() }),
        |gone| ctxhop::tokio::spawn_parent_only(async { gone.await.is_ok() && Context::current().has_active_span() }),
    ];
    for (spawn, sees_a_span) in spawns.into_iter().zip([false, true]) {
        let recorder = TraceRecorder::new();
        let [current, _] = runtimes(&Hooks::new().whole());
        current.block_on(async {
            let (go, gone) = oneshot::channel();
            let request = Context::new().with_span(recorder.tracer("shop").start("request"));
            let task = request.run(|| spawn(gone));
            drop(request);
            assert_eq!(recorder.open_spans().len(), 1);
            go.send(()).unwrap();
            assert_eq!(task.await.unwrap(), sees_a_span);
        });
        drop(current);
        assert!(recorder.open_spans().is_empty());
    }
}

#[test]
fn what_is_bound_by_hand_wins_inside() {
    let [current, _] = runtimes(&Hooks::new());
    let seen = current.block_on(async {
        let task = tagged("caller").run(|| ctxhop::tokio::spawn(async { tag() }));
        task.await.unwrap()
    });
    assert_eq!(seen, Some("caller"));
}

#[test]
fn a_task_that_blocks_on_another_runtime_has_its_own_context_back() {
    let hooks = Hooks::new();
    let [current, multi] = runtimes(&hooks);
    let seen = multi.block_on(async move {
        let outer = spawn_in(tagged("outer"), async move {
            let inner = block_in_place(|| {
                current.block_on(async { spawn_in(tagged("inner"), async { tag() }).await.unwrap() })
            });
            let seen = (inner, tag());
            spawn_blocking(move || drop(current)).await.unwrap();
            seen
        });
        outer.await.unwrap()
    });
    assert_eq!(seen, (Some("inner"), Some("outer")));
}

#[test]
fn ten_thousand_tasks_with_children_never_mix() {
    let hooks = Hooks::new();
    let [_, multi] = runtimes(&hooks);
    let wrong = Arc::new(AtomicUsize::new(0));
    multi.block_on(async {
        let parents = (0..10_000_u32).map(|n| {
            let wrong = Arc::clone(&wrong);
            spawn_in(Context::new().with_value(n), async move {
                let number = || Context::map_current(|cx| cx.get::<u32>().copied());
                yield_now().await;
                let child = tokio::spawn(async move { number() }).await.unwrap();
                wrong.fetch_add(usize::from(child != Some(n) || number() != Some(n)), Ordering::Relaxed);
            })
        });
        for parent in parents.collect::<Vec<_>>() {
            parent.await.unwrap();
        }
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0);
    // A task is joined a little before its hook is called; the runtime's end waits for both.
    drop(multi);
    assert_eq!((hooks.len(), hooks.refused()), (0, 0));
}

#[test]
fn beyond_the_capacity_tasks_run_in_an_empty_context_and_are_counted() {
    let hooks = Hooks::new().capacity(64);
    let [current, _] = runtimes(&hooks);
    let _guard = stranger().attach();
    current.block_on(async {
        let tasks: Vec<_> = (0..1_000).map(|_| spawn_in(tagged("request"), async { tag() })).collect();
        let (mut carried, mut empty) = (0, 0);
        for task in tasks {
            match task.await.unwrap() {
                Some("request") => carried += 1,
                None => empty += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((carried + empty, hooks.refused()), (1_000, empty));
        assert!(carried <= 64 && carried > 0, "{carried}");
    });
    assert!(hooks.is_empty());
}

/// So the capacity is about what it says, also for a million tasks.
#[test]
fn tasks_spread_evenly_over_the_parts_of_the_map() {
    // 64 a part have room, and 15 are expected. Other tests take ids in between these, so some parts get more, up to about 35.
    let hooks = Hooks::new().capacity(4_096);
    let [current, _] = runtimes(&hooks);
    current.block_on(async {
        let tasks: Vec<_> = (0..960).map(|_| spawn_in(tagged("request"), async { tag() })).collect();
        assert_eq!((hooks.len(), hooks.is_empty(), hooks.refused()), (960, false, 0));
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some("request"));
        }
    });
    assert!(hooks.is_empty());
}

#[test]
fn hooks_of_ones_own_call_these() {
    let (hooks, spawned) = (Hooks::new(), Arc::new(AtomicUsize::new(0)));
    let mut builder = Builder::new_current_thread();
    hooks.install(&mut builder);
    let (of_spawn, count) = (hooks.clone(), Arc::clone(&spawned));
    builder.on_task_spawn(move |task| {
        of_spawn.on_task_spawn(task);
        count.fetch_add(1, Ordering::Relaxed);
    });
    let seen = builder.build().unwrap().block_on(async { spawn_in(tagged("request"), async { tag() }).await.unwrap() });
    assert_eq!((seen, spawned.load(Ordering::Relaxed)), (Some("request"), 1));
}

/// The module's docs say so. If tokio calls its hooks there one day, the docs change with this test.
#[test]
fn blocking_tasks_and_local_sets_are_not_covered() {
    let mut builder = Builder::new_current_thread();
    let runtime = hooks::install(&mut builder).build().unwrap();
    let blocking = runtime.block_on(async { tagged("request").run(|| spawn_blocking(tag)).await.unwrap() });
    assert_eq!(blocking, None);

    let local = LocalSet::new();
    let task = tagged("request").run(|| local.spawn_local(async { tag() }));
    assert_eq!(runtime.block_on(local.run_until(task)).unwrap(), None);
}

/// As above: the context is let go, but the destructor runs outside of it.
#[test]
fn what_the_runtime_drops_as_it_shuts_down_is_not_covered() {
    let hooks = Hooks::new();
    for runtime in runtimes(&hooks) {
        let dropped = Arc::new(Mutex::new(Vec::new()));
        let held = OnDrop(Arc::clone(&dropped));
        let (begin, begun) = oneshot::channel();
        runtime.block_on(async {
            drop(spawn_in(tagged("request"), async move {
                let _held = held;
                begin.send(()).unwrap();
                pending::<()>().await;
            }));
            begun.await.unwrap();
        });
        drop(runtime);
        assert_eq!(*dropped.lock().unwrap(), [None]);
        assert!(hooks.is_empty(), "{hooks:?}");
    }
}

/// tokio then tells of the task's end before it tells of its spawn.
#[test]
fn a_task_that_a_runtime_refuses_is_let_go() {
    let hooks = Hooks::new().whole();
    for runtime in runtimes(&hooks) {
        let recorder = TraceRecorder::new();
        let handle = runtime.handle().clone();
        drop(runtime);
        let request = Context::new().with_span(recorder.tracer("shop").start("request"));
        let task = request.run(|| handle.spawn(async {}));
        drop(request);
        assert!(hooks.is_empty(), "{hooks:?}");
        assert!(recorder.open_spans().is_empty());
        drop(task);
    }
}

/// Strict mode knows each bare task by the line that spawned it.
#[cfg(feature = "strict")]
#[test]
fn strict_mode_names_the_spawn_of_a_bare_task() {
    let strict = ctxhop::strict::install(ctxhop::strict::Config::new());
    let [current, _] = runtimes(&Hooks::new());
    let line = line!() + 2;
    current.block_on(async {
        let task = tokio::spawn(async { std::mem::forget(tagged("auth").attach()) });
        task.await.unwrap();
    });
    let report = strict.report();
    let leaked = report.problems().iter().any(|problem| match problem {
        ctxhop::strict::Problem::Leaked { hop, .. } => {
            (hop.name(), hop.file(), hop.line()) == ("a task", "tests/tokio_hooks.rs", line)
        }
        _ => false,
    });
    assert!(leaked, "{report}");
}
