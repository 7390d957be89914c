//! Tasks that other crates spawn: tokio's runtime hooks carry the context to every task of a runtime.
//!
//! Use it for spawns that you cannot change: a client's connection task, a framework's handler. For your own spawns, prefer
//! [`ctxhop::tokio::spawn`](super::spawn), which costs less and covers what hooks do not.
//!
//! ```
//! use ctxhop::tokio::hooks;
//! use opentelemetry::Context;
//!
//! let mut builder = tokio::runtime::Builder::new_multi_thread();
//! hooks::install(&mut builder);
//! let runtime = builder.build().unwrap();
//!
//! let seen = runtime.block_on(async {
//!     let task = {
//!         let _guard = Context::current_with_value("request 7").attach();
//!         tokio::spawn(async { Context::current().get::<&str>().copied() }) // a bare spawn
//!     };
//!     task.await.unwrap()
//! });
//! assert_eq!(seen, Some("request 7"));
//! ```
//!
//! This module takes feature `tokio-hooks` and tokio's unstable interface: build with `RUSTFLAGS="--cfg tokio_unstable"`.
//! Without that flag the module is not there, and the compiler's error names the flag.
//!
//! # What is carried
//!
//! A task runs in the context of whoever spawned it, [without the hold on its span](crate::ContextExt::parent_only). So a
//! connection pool that the first request fills keeps no span open. [`Hooks::whole`] carries the span too. A task that was
//! spawned outside of any context runs in an empty one. A task that is spawned by [`ctxhop::tokio::spawn`](super::spawn) runs in
//! the context that this call bound to it.
//!
//! # What is not covered
//!
//! - `spawn_blocking`, and tasks of a `LocalSet`: tokio does not call these hooks for them.
//! - A task that the runtime drops as it shuts down is dropped outside its context.
//! - Tasks beyond the [capacity](Hooks::capacity) run in an empty context; [`Hooks::refused`] counts them.
//!
//! # With strict mode
//!
//! With feature `strict`, each bare task is a hop that [`strict`](crate::strict) knows: its reports name the line that spawned the
//! task, also in another crate.
//!
//! # Cost
//!
//! Each spawn takes an entry in a map that has a lock for each of its 64 parts; each poll takes a look-up and an attach. The entry
//! goes when the task ends. Beside a bare task that does nothing but yield, a wrapped one takes 1.25 times as long, and one on a
//! runtime with hooks 1.64 times (`cargo bench --features tokio-hooks --bench hooks`, with the flag).

mod contexts;

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::Arc,
};

use ::tokio::{
    runtime::{Builder, TaskMeta},
    task::Id,
};
use opentelemetry::Context;

use self::contexts::{Contexts, OfTask};
use crate::{
    ContextExt, Snapshot,
    trail::{self, Hop},
};

/// Carries the context to every task of the runtime that `builder` builds: [`Hooks::new`]`().install(builder)`.
///
/// Use it where no other hooks are set: tokio has one slot for each hook, and this takes all four.
pub fn install(builder: &mut Builder) -> &mut Builder {
    Hooks::new().install(builder)
}

/// The contexts of a runtime's tasks, and what tokio's hooks do with them.
///
/// Use [`install`](Self::install); or, where you have callbacks of your own, call the four methods named after the hooks from
/// them. All four are needed. Clones share their contexts.
///
/// # Examples
///
/// With callbacks of your own:
///
/// ```
/// use ctxhop::tokio::hooks::Hooks;
///
/// let hooks = Hooks::new();
/// let mut builder = tokio::runtime::Builder::new_current_thread();
/// hooks.install(&mut builder);
/// let of_spawn = hooks.clone();
/// builder.on_task_spawn(move |task| {
///     of_spawn.on_task_spawn(task);
///     println!("spawned at {}", task.spawned_at());
/// });
/// ```
#[derive(Clone)]
pub struct Hooks {
    contexts: Arc<Contexts>,
    capture: fn() -> Context,
}

impl Hooks {
    /// As many tasks as may have a context at a time, unless [`capacity`](Self::capacity) says otherwise: 1,048,576.
    pub const DEFAULT_CAPACITY: usize = 1 << 20;

    /// Carries the context without the hold on its span.
    #[must_use]
    pub fn new() -> Self {
        Self { contexts: Arc::new(Contexts::new(Self::DEFAULT_CAPACITY)), capture: capture_parent }
    }

    /// Carries the whole context. The spawner's span stays open until the task ends.
    ///
    /// That holds for tasks of [`spawn_detached`](super::spawn_detached) and [`spawn_parent_only`](super::spawn_parent_only) too:
    /// the hook cannot tell them from others.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { capture: Context::capture, ..self }
    }

    /// How many tasks may have a context at a time. Further ones run in an empty context until others have ended.
    ///
    /// The contexts are in 64 parts of equal size, so this is rounded up to a multiple of 64, and a part may be full before the
    /// others are. Call it before the hooks are cloned or installed: it begins with an empty map of its own.
    #[must_use]
    pub fn capacity(self, tasks: usize) -> Self {
        Self { contexts: Arc::new(Contexts::new(tasks)), ..self }
    }

    /// Sets the four hooks of the runtime that `builder` builds.
    pub fn install<'b>(&self, builder: &'b mut Builder) -> &'b mut Builder {
        let [spawn, before, after, terminate] = [(); 4].map(|()| self.clone());
        builder
            .on_task_spawn(move |task| spawn.on_task_spawn(task))
            .on_before_task_poll(move |task| before.on_before_task_poll(task))
            .on_after_task_poll(move |task| after.on_after_task_poll(task))
            .on_task_terminate(move |task| terminate.on_task_terminate(task))
    }

    /// Captures the context of the spawner. For [`Builder::on_task_spawn`].
    pub fn on_task_spawn(&self, task: &TaskMeta<'_>) {
        if UNKNOWN.get() == Some(task.id()) {
            return;
        }
        let context = (self.capture)();
        let hop = Hop::at("a task", task.spawned_at(), || Some(&context));
        self.contexts.insert(task.id(), OfTask { context, hop });
    }

    /// Attaches the context of the task, also an empty one. For [`Builder::on_before_task_poll`].
    pub fn on_before_task_poll(&self, task: &TaskMeta<'_>) {
        let (context, border) = match self.contexts.get(task.id()) {
            Some(task) => (task.context, Some(task.hop.enter_in_hook())),
            None => (Context::new(), None),
        };
        let poll = Poll { _guard: Snapshot::attach(context), _border: border };
        // Fails where the thread ends, and then the guard detaches at once.
        let _ = ATTACHED.try_with(|attached| attached.borrow_mut().push(poll));
    }

    /// Detaches the context of the task. For [`Builder::on_after_task_poll`].
    pub fn on_after_task_poll(&self, _task: &TaskMeta<'_>) {
        // Two steps: the drop may run destructors that poll other tasks.
        let poll = ATTACHED.try_with(|attached| attached.borrow_mut().pop());
        drop(poll);
    }

    /// Lets the context of the task go. For [`Builder::on_task_terminate`].
    pub fn on_task_terminate(&self, task: &TaskMeta<'_>) {
        // Dropped after the lock, because it may end a span.
        let of_task = self.contexts.remove(task.id());
        if of_task.is_none() {
            UNKNOWN.set(Some(task.id()));
        }
    }

    /// How many tasks have a context now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contexts.len()
    }

    /// Whether no task has a context now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tasks had to run in an empty context so far, because the capacity was reached.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.contexts.refused()
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("tasks", &self.len()).field("refused", &self.refused()).finish()
    }
}

fn capture_parent() -> Context {
    Context::capture().parent_only()
}

/// A poll of a task. The context is detached before the border looks.
struct Poll {
    _guard: <Context as Snapshot>::Guard,
    _border: Option<trail::Border>,
}

thread_local! {
    /// The polls on this thread, the innermost last: a task may block on another runtime.
    static ATTACHED: RefCell<Vec<Poll>> = const { RefCell::new(Vec::new()) };

    /// The latest task that had no context when it ended. Where a runtime has shut down, a spawn ends the task first and calls the hook
    /// of the spawn after that. Without a destructor, so that it can be used at any time.
    static UNKNOWN: Cell<Option<Id>> = const { Cell::new(None) };
}
