//! rayon's jobs and scopes: each function and method is a row.

mod support;
#[path = "support/rayon.rs"]
mod watch;

use std::{
    any::Any,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use ctxhop::{Snapshot, prelude::*, rayon as hop};
use opentelemetry::Context;
use rayon::ThreadPool;
use support::{Case, Ended, Fate, Job, Output, catch, check_closure, stranger, tag, tagged};
use watch::{Counted, assert_workers_are_clean, builder, pool};

const FATES: [Fate; 3] = [Fate::Completes, Fate::Errors, Fate::Panics];
const DONE: Output = Ok(0);

/// A pool, and where the panics of its spawned jobs arrive.
struct Rig {
    pool: ThreadPool,
    panics: mpsc::Receiver<Box<dyn Any + Send>>,
}

impl Rig {
    fn new() -> Self {
        let (tx, panics) = mpsc::channel();
        let tx = Mutex::new(tx);
        let handler = move |payload| tx.lock().unwrap().send(payload).unwrap();
        Rig { pool: builder(4).panic_handler(handler).build().unwrap(), panics }
    }

    /// How a spawned job ended; `outputs` is closed when the job is gone.
    fn ended(&self, outputs: &mpsc::Receiver<Output>) -> Ended {
        Ended::from_unwind(outputs.recv().map_err(|_| self.panics.recv().unwrap()))
    }
}

/// The job, called by whoever comes first; for functions that call a closure on every thread.
struct First(Mutex<Option<Job>>);

impl First {
    fn new(job: Job) -> Self {
        First(Mutex::new(Some(job)))
    }

    fn run(&self) -> Option<Output> {
        let job = self.0.lock().unwrap().take();
        job.map(|job| job())
    }
}

fn check(rig: &Rig, name: &str, run: impl Fn(&Case, Job) -> Ended) {
    check_closure(name, &FATES, |case, job| {
        let ended = run(case, job);
        assert_workers_are_clean(&rig.pool, &case.name);
        ended
    });
}

/// What waits for the job: the job's panic arrives at the caller.
#[test]
fn calls() {
    type Call = (&'static str, fn(&ThreadPool, &Case, Job) -> Output);
    let calls: &[Call] = &[
        ("join, first", |_, case, job| case.submit(|| hop::join(job, || DONE)).0),
        ("join, second", |_, case, job| case.submit(|| hop::join(|| DONE, job)).1),
        ("join_context, first", |_, case, job| case.submit(|| hop::join_context(|_| job(), |_| DONE)).0),
        ("join_context, second", |_, case, job| case.submit(|| hop::join_context(|_| DONE, |_| job())).1),
        ("scope", |_, case, job| case.submit(|| hop::scope(|_| job()))),
        ("scope_fifo", |_, case, job| case.submit(|| hop::scope_fifo(|_| job()))),
        ("in_place_scope", |_, case, job| case.submit(|| hop::in_place_scope(|_| job()))),
        ("in_place_scope_fifo", |_, case, job| case.submit(|| hop::in_place_scope_fifo(|_| job()))),
        ("broadcast", |_, case, job| {
            let job = First::new(job);
            case.submit(|| hop::broadcast(|_| job.run())).into_iter().flatten().next().unwrap()
        }),
        ("Scope::spawn", |_, case, job| {
            let mut output = DONE;
            rayon::scope(|scope| case.submit(|| scope.spawn_with_current_context(|_| output = job())));
            output
        }),
        ("Scope::spawn, in place", |_, case, job| {
            let mut output = DONE;
            rayon::in_place_scope(|scope| case.submit(|| scope.spawn_with_current_context(|_| output = job())));
            output
        }),
        ("ScopeFifo::spawn_fifo", |_, case, job| {
            let mut output = DONE;
            rayon::scope_fifo(|scope| case.submit(|| scope.spawn_fifo_with_current_context(|_| output = job())));
            output
        }),
        ("Scope::spawn_broadcast", |_, case, job| {
            let (job, output) = (First::new(job), Mutex::new(None));
            rayon::scope(|scope| {
                case.submit(|| scope.spawn_broadcast_with_current_context(|_, _| keep(&output, job.run())));
            });
            output.into_inner().unwrap().unwrap()
        }),
        ("ScopeFifo::spawn_broadcast", |_, case, job| {
            let (job, output) = (First::new(job), Mutex::new(None));
            rayon::scope_fifo(|scope| {
                case.submit(|| scope.spawn_broadcast_with_current_context(|_, _| keep(&output, job.run())));
            });
            output.into_inner().unwrap().unwrap()
        }),
        ("ThreadPool::install", |pool, case, job| case.submit(|| pool.install_with_current_context(job))),
        ("ThreadPool::join, first", |pool, case, job| case.submit(|| pool.join_with_current_context(job, || DONE)).0),
        ("ThreadPool::join, second", |pool, case, job| case.submit(|| pool.join_with_current_context(|| DONE, job)).1),
        ("ThreadPool::scope", |pool, case, job| case.submit(|| pool.scope_with_current_context(|_| job()))),
        ("ThreadPool::scope_fifo", |pool, case, job| case.submit(|| pool.scope_fifo_with_current_context(|_| job()))),
        ("ThreadPool::broadcast", |pool, case, job| {
            let job = First::new(job);
            case.submit(|| pool.broadcast_with_current_context(|_| job.run())).into_iter().flatten().next().unwrap()
        }),
    ];
    let rig = Rig::new();
    for (name, call) in calls {
        // The free functions use the pool that they are called in; from without, a method has to bring the job in.
        check(&rig, &format!("{name}, from within"), |case, job| {
            catch(|| rig.pool.install(|| call(&rig.pool, case, job)))
        });
        if name.starts_with("ThreadPool") {
            check(&rig, &format!("{name}, from without"), |case, job| catch(|| call(&rig.pool, case, job)));
        }
    }
}

fn keep(kept: &Mutex<Option<Output>>, output: Option<Output>) {
    if let Some(output) = output {
        *kept.lock().unwrap() = Some(output);
    }
}

/// What returns at once: the job's panic arrives at the pool's handler.
#[test]
fn spawns() {
    type Spawn = (&'static str, fn(&ThreadPool, Task));
    let spawns: &[Spawn] = &[
        ("spawn", |_, task| hop::spawn(move || task.run())),
        ("spawn_fifo", |_, task| hop::spawn_fifo(move || task.run())),
        ("spawn_broadcast", |_, task| hop::spawn_broadcast(move |_| task.run())),
        ("ThreadPool::spawn", |pool, task| pool.spawn_with_current_context(move || task.run())),
        ("ThreadPool::spawn_fifo", |pool, task| pool.spawn_fifo_with_current_context(move || task.run())),
        ("ThreadPool::spawn_broadcast", |pool, task| pool.spawn_broadcast_with_current_context(move |_| task.run())),
    ];
    let rig = Rig::new();
    for (name, spawn) in spawns {
        let run = |case: &Case, job, within: bool| {
            let (tx, outputs) = mpsc::channel();
            let task = Task { job: First::new(job), outputs: Mutex::new(tx) };
            let submit = || case.submit(|| spawn(&rig.pool, task));
            if within {
                rig.pool.install(submit)
            } else {
                submit()
            }
            let ended = rig.ended(&outputs);
            // Closed once rayon has dropped the closure on all threads, and with it the context.
            assert!(outputs.recv().is_err(), "{}: one output", case.name);
            ended
        };
        check(&rig, &format!("{name}, from within"), |case, job| run(case, job, true));
        if name.starts_with("ThreadPool") {
            check(&rig, &format!("{name}, from without"), |case, job| run(case, job, false));
        }
    }
}

/// A job that tells how it ended.
struct Task {
    job: First,
    outputs: Mutex<mpsc::Sender<Output>>,
}

impl Task {
    fn run(&self) {
        if let Some(output) = self.job.run() {
            self.outputs.lock().unwrap().send(output).unwrap();
        }
    }
}

// ---- What the originals do, too --------------------------------------------------------------------------------------

#[test]
fn a_stolen_closure_of_join_sees_the_context() {
    let pool = pool(4);
    for (context, expected) in [(tagged("request"), Some("request")), (Context::new(), None)] {
        // Each waits for the other, so one of them has been stolen.
        let both = Barrier::new(2);
        let see = || {
            both.wait();
            (tag(), thread::current().id())
        };
        let check = |how, (a, b): ((Option<_>, _), (Option<_>, _))| {
            assert_eq!((a.0, b.0), (expected, expected), "{how}");
            assert_ne!(a.1, b.1, "{how}: stolen");
            assert_workers_are_clean(&pool, how);
        };
        check("join", pool.install(|| context.run(|| hop::join(see, see))));
        check("join_context", pool.install(|| context.run(|| hop::join_context(|_| see(), |_| see()))));
        check("ThreadPool::join, from without", context.run(|| pool.join_with_current_context(see, see)));
        check("join in install", context.run(|| pool.install_with_current_context(|| hop::join(see, see))));
    }
}

/// `join_with_context` attaches once more than `join`: around the whole of it.
#[test]
fn a_join_attaches_only_where_a_closure_was_stolen() {
    let attached = |threads, work: &(dyn Fn() + Sync)| {
        let counted = Counted::capture();
        pool(threads).install(|| hop::join_with_context(counted.clone(), work, work));
        counted.times()
    };
    assert_eq!(attached(1, &|| ()), 1, "nobody steals");
    let both = Barrier::new(2);
    assert_eq!(attached(4, &|| _ = both.wait()), 2, "each closure waits for the other, so one was stolen");
}

#[test]
fn a_join_from_without_migrates_as_a_whole() {
    let seen = tagged("request").run(|| hop::join_context(|at| (tag(), at.migrated()), |at| (tag(), at.migrated())));
    assert_eq!(seen, ((Some("request"), true), (Some("request"), true)));
}

#[test]
fn closures_get_what_the_originals_do() {
    let pool = pool(4);
    let _guard = tagged("request").attach();
    let all = Vec::from([0, 1, 2, 3].map(|n| (n, Some("request"))));
    assert_eq!(pool.broadcast_with_current_context(|at| (at.index(), tag())), all);
    assert_eq!(pool.install_with_current_context(|| hop::broadcast(|at| (at.index(), tag()))), all);

    let (tx, seen) = mpsc::channel();
    pool.spawn_broadcast_with_current_context(move |at| tx.send((at.index(), tag())).unwrap());
    let mut seen: Vec<_> = seen.iter().collect();
    seen.sort();
    assert_eq!(seen, all);

    let both = Barrier::new(2);
    let (a, b) = pool.install_with_current_context(|| {
        let migrated = |at: rayon::FnContext| {
            both.wait();
            at.migrated()
        };
        hop::join_context(migrated, migrated)
    });
    assert_eq!((a, b), (false, true));
}

/// Borrowed data, the scope itself, and a context for each spawn: the one of its own call.
#[test]
fn nested_spawns_in_a_scope() {
    let pool = pool(4);
    let seen = Mutex::new(Vec::new());
    let see = |place: &'static str| seen.lock().unwrap().push((place, tag()));
    pool.install(|| {
        let _guard = tagged("request").attach();
        hop::scope(|scope| {
            see("scope");
            scope.spawn_with_current_context(|scope| {
                see("spawned");
                scope.spawn_with_current_context(|_| see("nested"));
                tagged("own").run(|| scope.spawn_with_current_context(|_| see("nested in own")));
                Context::new().run(|| scope.spawn_with_current_context(|_| see("nested in none")));
            });
            scope.spawn_broadcast_with_current_context(|scope, at| {
                if at.index() == 0 {
                    scope.spawn_with_current_context(|_| see("nested in broadcast"));
                }
            });
        });
        hop::scope_fifo(|scope| {
            scope.spawn_fifo_with_current_context(|scope| {
                see("spawned, fifo");
                tagged("own").run(|| scope.spawn_fifo_with_current_context(|_| see("nested in own, fifo")));
            });
        });
    });
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    let expected = [
        ("nested", Some("request")),
        ("nested in broadcast", Some("request")),
        ("nested in none", None),
        ("nested in own", Some("own")),
        ("nested in own, fifo", Some("own")),
        ("scope", Some("request")),
        ("spawned", Some("request")),
        ("spawned, fifo", Some("request")),
    ];
    assert_eq!(seen, expected);
    assert_workers_are_clean(&pool, "scopes");
}

// ---- Work stealing ---------------------------------------------------------------------------------------------------

/// A worker that waits runs what is queued on its own stack. The bare job shows that this test would notice.
#[test]
fn a_job_run_by_a_worker_that_waits_sees_its_own_context() {
    let pool = pool(1);
    let (tx, seen) = mpsc::channel();
    let see = |job: &'static str| {
        let tx = tx.clone();
        move || tx.send((job, tag())).unwrap()
    };
    let run_what_is_queued = || while rayon::yield_now() == Some(rayon::Yield::Executed) {};
    pool.install(|| {
        let _guard = tagged("request").attach();
        rayon::spawn_fifo(see("bare"));
        Context::new().run(|| hop::spawn_fifo(see("without context")));
        tagged("other").run(|| hop::spawn_fifo(see("of another request")));
        hop::join(run_what_is_queued, || assert_eq!(tag(), Some("request")));
        assert_eq!(tag(), Some("request"));
    });
    let seen: Vec<_> = seen.try_iter().collect();
    assert_eq!(seen, [("bare", Some("request")), ("without context", None), ("of another request", Some("other"))]);
    assert_workers_are_clean(&pool, "waiting");
}

/// What the jobs of one request check, over and over.
struct Request {
    expected: Option<&'static str>,
    checks: AtomicU64,
    wrong: AtomicU64,
}

impl Request {
    fn check(&self) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        if tag() != self.expected {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A tree of joins, with scopes in between.
    fn work(&self, depth: u32) {
        self.check();
        match depth {
            0 => return,
            4 | 11 => hop::scope(|scope| {
                self.check();
                scope.spawn_with_current_context(|_| self.work(depth - 1));
                scope.spawn_with_current_context(|_| self.work(depth - 1));
            }),
            7 | 13 => hop::scope_fifo(|scope| {
                scope.spawn_fifo_with_current_context(|_| self.work(depth - 1));
                self.work(depth - 1);
            }),
            _ => _ = hop::join(|| self.work(depth - 1), || self.work(depth - 1)),
        }
        self.check();
    }
}

/// Requests and jobs without any context share four threads, and never see each other's.
#[test]
fn a_million_checks_without_contamination() {
    let pool = pool(4);
    let requests = [Some("a"), Some("b"), Some("c"), Some("d"), None, None]
        .map(|expected| Arc::new(Request { expected, checks: AtomicU64::new(0), wrong: AtomicU64::new(0) }));
    let (tx, done) = mpsc::channel();
    for request in &requests {
        let (request, tx) = (request.clone(), tx.clone());
        let _guard = request.expected.map_or_else(Context::new, tagged).attach();
        pool.spawn_with_current_context(move || {
            request.work(16);
            tx.send(()).unwrap();
        });
    }
    assert_eq!(done.iter().take(requests.len()).count(), requests.len());

    let counts =
        requests.map(|request| (request.checks.load(Ordering::Relaxed), request.wrong.load(Ordering::Relaxed)));
    assert!(counts.iter().map(|(checks, _)| checks).sum::<u64>() >= 1_000_000, "{counts:?}");
    assert_eq!(counts.map(|(_, wrong)| wrong), [0; 6]);
    assert_workers_are_clean(&pool, "requests");
}

#[test]
fn what_a_broadcast_captured_is_dropped_inside() {
    struct Told(Arc<Mutex<Vec<Option<&'static str>>>>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(tag());
        }
    }
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let op = || {
        let told = Told(Arc::clone(&dropped));
        move |_: rayon::BroadcastContext<'_>| _ = &told
    };
    let _guard = stranger().attach();
    ctxhop::rayon::broadcast_with_context(tagged("given"), op());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.broadcast_with_context(tagged("given"), op());
    assert_eq!(*dropped.lock().unwrap(), [Some("given"); 2]);
}
