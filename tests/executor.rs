//! Executors that capture at each submit: futures' and hyper's traits over an executor of the test's own.

mod support;

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

use allocation_counter::measure;
use ctxhop::{Snapshot as _, WithContext, executor::Propagating};
use futures::{
    FutureExt as _,
    executor::{LocalPool, block_on},
    future::{self, FutureObj, LocalFutureObj},
    poll,
    task::{LocalSpawn, LocalSpawnExt, Spawn, SpawnError, SpawnExt},
};
use opentelemetry::Context;
use support::{Case, Ended, Fate, Output, Remote, Task, assert_stranger, check_future, stranger, tag, tagged};

const FATES: [Fate; 6] = [Fate::Completes, Fate::Errors, Fate::Panics, Fate::Unstarted, Fate::Midway, Fate::Refused];

/// Keeps what is submitted to it, for the test to poll by hand; or refuses it.
struct Slot<F> {
    task: Mutex<Option<F>>,
    closed: bool,
}

impl<F> Slot<F> {
    fn new(case: &Case) -> Self {
        Slot { task: Mutex::new(None), closed: case.fate == Fate::Refused }
    }

    fn open() -> Self {
        Slot { task: Mutex::new(None), closed: false }
    }

    fn submit(&self, task: F) -> Result<(), SpawnError> {
        if self.closed {
            return Err(SpawnError::shutdown());
        }
        *self.task.lock().unwrap() = Some(task);
        Ok(())
    }
}

impl Spawn for Slot<FutureObj<'static, ()>> {
    fn spawn_obj(&self, task: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.submit(task)
    }

    fn status(&self) -> Result<(), SpawnError> {
        if self.closed { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}

impl LocalSpawn for Slot<LocalFutureObj<'static, ()>> {
    fn spawn_local_obj(&self, task: LocalFutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.submit(task)
    }

    fn status_local(&self) -> Result<(), SpawnError> {
        if self.closed { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}

impl<F> hyper::rt::Executor<F> for Slot<F> {
    fn execute(&self, task: F) {
        // hyper's executors cannot report a refusal.
        drop(self.submit(task));
    }
}

/// Drives what the slot was given to the case's end.
async fn drive<F: Future<Output = ()>>(
    case: &Case,
    slot: &Slot<F>,
    output: &Mutex<Option<Output>>,
    mut remote: Remote,
) -> Ended {
    let Some(task) = slot.task.lock().unwrap().take() else { return Ended::Gone };
    let mut task = Box::pin(task);
    if case.fate == Fate::Unstarted {
        return Ended::Gone;
    }
    assert!(poll!(&mut task).is_pending());
    assert_stranger("between two polls");
    if case.fate == Fate::Midway {
        return Ended::Gone;
    }
    remote.go();
    let done = AssertUnwindSafe(&mut task).catch_unwind().await;
    Ended::from_unwind(done.map(|()| output.lock().unwrap().take().expect("the task has stored it")))
}

/// A task as executors take it, which leaves its output behind.
fn storing(task: Task) -> (impl Future<Output = ()> + Send + 'static, Arc<Mutex<Option<Output>>>) {
    let output = Arc::new(Mutex::new(None));
    let stored = output.clone();
    (task.map(move |output| *stored.lock().unwrap() = Some(output)), output)
}

#[test]
fn matrix() {
    let _guard = stranger().attach();
    block_on(check_future("Spawn", &FATES, async |case, task, remote| {
        let executor = Propagating::new(Slot::new(case));
        let (task, output) = storing(task);
        let submitted = case.submit(|| executor.spawn(task));
        assert_eq!(submitted.is_err(), case.fate == Fate::Refused);
        assert_eq!(executor.status().is_err(), case.fate == Fate::Refused);
        drive(case, executor.inner(), &output, remote).await
    }));
    block_on(check_future("LocalSpawn", &FATES, async |case, task, remote| {
        let executor = Propagating::new(Slot::new(case));
        let (task, output) = storing(task);
        let submitted = case.submit(|| executor.spawn_local(task));
        assert_eq!(submitted.is_err(), case.fate == Fate::Refused);
        assert_eq!(executor.status_local().is_err(), case.fate == Fate::Refused);
        drive(case, executor.inner(), &output, remote).await
    }));
    block_on(check_future("hyper's Executor", &FATES, async |case, task, remote| {
        let executor = Propagating::new(Slot::new(case));
        let (task, output) = storing(task);
        case.submit(|| hyper::rt::Executor::execute(&executor, task));
        drive(case, executor.inner(), &output, remote).await
    }));
}

#[test]
fn each_submit_has_its_own_context() {
    let mut pool = LocalPool::new();
    let executor = Propagating::new(pool.spawner());
    let tasks: Vec<_> = ["a", "b", "c"]
        .map(|name| tagged(name).run(|| executor.clone().spawn_local_with_handle(async { tag() }).unwrap()))
        .into();
    let _guard = stranger().attach();
    assert_eq!(pool.run_until(future::join_all(tasks)), [Some("a"), Some("b"), Some("c")]);
    assert_stranger("after the pool has run");
}

#[test]
fn captures_the_snapshot_of_your_choice() {
    let executor = Propagating::<_, (Context, Context)>::capturing(futures::executor::ThreadPool::new().unwrap());
    let task = tagged("pool").run(|| executor.spawn_with_handle(async { tag() }).unwrap());
    assert_eq!(block_on(task), Some("pool"));
}

#[test]
fn futures_traits_take_one_allocation_more_and_hypers_takes_none() {
    if cfg!(feature = "strict") {
        return; // Strict mode allocates what it notes.
    }
    /// A future that has a size, so that its box is an allocation.
    async fn async_work() {
        future::ready(7).await;
    }
    fn allocations<E>(executor: E, submit: fn(&E)) -> u64 {
        measure(|| submit(&executor)).count_total
    }
    type Sent = Slot<FutureObj<'static, ()>>;
    type Local = Slot<LocalFutureObj<'static, ()>>;
    type Ready = future::Ready<()>;
    let _guard = stranger().attach();
    // futures' traits box each future that is submitted.
    let bare = allocations(Sent::open(), |executor| executor.spawn(async_work()).unwrap());
    let ours = allocations(Propagating::new(Sent::open()), |executor| executor.spawn(async_work()).unwrap());
    assert_eq!((bare, ours), (1, 2), "Spawn");
    let bare = allocations(Local::open(), |executor| executor.spawn_local(async_work()).unwrap());
    let ours = allocations(Propagating::new(Local::open()), |executor| executor.spawn_local(async_work()).unwrap());
    assert_eq!((bare, ours), (1, 2), "LocalSpawn");
    let ours = allocations(Propagating::new(Slot::<WithContext<Ready>>::open()), |executor| {
        hyper::rt::Executor::execute(executor, future::ready(()));
    });
    assert_eq!(ours, 0, "hyper's Executor");
}

#[test]
fn shows_the_executor_that_is_inside() {
    assert_eq!(format!("{:?}", Propagating::new("pool")), r#"Propagating("pool")"#);
}
