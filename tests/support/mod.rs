//! One probe, and one check for each kind of hop; the tests beside this file are rows.
//!
//! Every check submits a job inside one context, drives it inside another (a stranger's), and asks:
//! did all of the job, its destructor too, see the context that it was submitted in; is the stranger's context
//! untouched around it; is the submitted context let go as soon as the work is over; are results and panics the job's
//! own.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part of what is public here")]

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use ctxhop::prelude::*;
use opentelemetry::Context;

/// What the tests look at in a context.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tag(&'static str);

/// An otherwise empty context that [`tag`] can tell from others.
pub fn tagged(tag: &'static str) -> Context {
    Context::new().with_value(Tag(tag))
}

/// The tag of the current context.
pub fn tag() -> Option<&'static str> {
    Context::map_current(|cx| cx.get::<Tag>().map(|tag| tag.0))
}

/// The context in which jobs are driven, and which none of them may see.
pub fn stranger() -> Context {
    tagged("stranger")
}

/// Asserts that the work left the driver's context as it was.
#[track_caller]
pub fn assert_stranger(what: impl fmt::Display) {
    assert_eq!(tag(), Some("stranger"), "{what}: the driver's context was changed");
}

/// With feature `strict`: asserts that strict mode has found nothing in this process. It begins with the first call.
#[track_caller]
pub fn assert_no_alarm() {
    #[cfg(feature = "strict")]
    ctxhop::strict::install(ctxhop::strict::Config::new()).assert_clean();
}

/// Which context a job is submitted in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Submitted {
    /// In a context with a tag.
    Set,
    /// In none.
    Empty,
    /// In a context with a tag, and the job is bound to another one already, which wins inside.
    Twice,
}

pub const SUBMITTED: [Submitted; 3] = [Submitted::Set, Submitted::Empty, Submitted::Twice];

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    Completes,
    Errors,
    Panics,
    /// Dropped or aborted before it began.
    Unstarted,
    /// Dropped or aborted half-way.
    Midway,
    /// The submit itself fails.
    Refused,
}

pub type Output = Result<u32, &'static str>;

/// How a job ended, as far as its submitter can see.
#[derive(Debug, PartialEq)]
pub enum Ended {
    Returned(Output),
    Panicked(&'static str),
    /// Dropped, aborted or refused.
    Gone,
}

impl Ended {
    pub fn from_unwind(result: Result<Output, Box<dyn Any + Send>>) -> Self {
        match result {
            Ok(output) => Ended::Returned(output),
            Err(payload) => Ended::Panicked(payload.downcast_ref::<&str>().expect("the job's own payload")),
        }
    }
}

/// One cell of the matrix.
pub struct Case {
    pub name: String,
    pub submitted: Submitted,
    pub fate: Fate,
    /// Counts who holds the context that the job was submitted in.
    held: Arc<()>,
    log: Arc<Mutex<Vec<Event>>>,
}

struct Held(#[allow(dead_code, reason = "it is counted")] Arc<()>);

impl Case {
    pub fn new(hop: &str, submitted: Submitted, fate: Fate) -> Self {
        let name = format!("{hop}, {submitted:?}, {fate:?}");
        Case { name, submitted, fate, held: Arc::default(), log: Arc::default() }
    }

    /// Calls `submit` in the context that this case is about.
    pub fn submit<R>(&self, submit: impl FnOnce() -> R) -> R {
        match self.submitted {
            Submitted::Empty => Context::new().run(submit),
            Submitted::Set | Submitted::Twice => tagged("submitted").with_value(Held(self.held.clone())).run(submit),
        }
    }

    /// What the job has to see.
    fn expected(&self) -> Option<&'static str> {
        match self.submitted {
            Submitted::Set => Some("submitted"),
            Submitted::Empty => None,
            Submitted::Twice => Some("inner"),
        }
    }

    /// The context that a job of [`Submitted::Twice`] is bound to already.
    pub fn inner_context(&self) -> Context {
        tagged("inner").with_value(Held(self.held.clone()))
    }

    pub fn probe(&self) -> Probe {
        Probe(Arc::new(Log(self.log.clone())))
    }

    /// How the job has to end.
    fn ending(&self) -> Ended {
        match self.fate {
            Fate::Completes => Ended::Returned(Ok(7)),
            Fate::Errors => Ended::Returned(Err("no")),
            Fate::Panics => Ended::Panicked("job's own panic"),
            Fate::Unstarted | Fate::Midway | Fate::Refused => Ended::Gone,
        }
    }

    /// What the job does last.
    pub fn end(&self) -> impl FnOnce() -> Output + Send + use<> {
        let fate = self.fate;
        move || match fate {
            Fate::Completes => Ok(7),
            Fate::Errors => Err("no"),
            Fate::Panics => std::panic::panic_any("job's own panic"),
            Fate::Unstarted | Fate::Midway | Fate::Refused => unreachable!("{fate:?}, and yet it ran"),
        }
    }

    /// Asserts that nobody holds the submitted context any more.
    #[track_caller]
    pub fn assert_released(&self) {
        assert_eq!(Arc::strong_count(&self.held), 1, "{}: the context is still held", self.name);
    }

    /// Asserts that the probe saw these events, each in the right context, and its own drop last, there too.
    #[track_caller]
    pub fn assert_saw(&self, events: &[&'static str]) {
        let expected: Vec<_> = events.iter().chain(&["drop"]).map(|event| (*event, self.expected())).collect();
        assert_eq!(self.events(), expected, "{}: (event, context) seen", self.name);
    }

    /// What the probes saw so far, and in which context.
    pub fn events(&self) -> Vec<Event> {
        self.log.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn assert_ended(&self, ended: Ended) {
        assert_eq!(ended, self.ending(), "{}", self.name);
    }
}

/// Part of a job: it notes in which context things happen, its own drop too.
#[derive(Clone)]
pub struct Probe(Arc<Log>);

/// What happened, and in which context.
pub type Event = (&'static str, Option<&'static str>);

struct Log(Arc<Mutex<Vec<Event>>>);

impl Probe {
    pub fn saw(&self, event: &'static str) {
        self.0.0.lock().unwrap().push((event, tag()));
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(("drop", tag()));
    }
}

// ---- Closures: everything that runs a `FnOnce` somewhere -------------------------------------------------------------

pub type Job = Box<dyn FnOnce() -> Output + Send>;

/// Checks a hop that takes a closure, for each given fate and each context.
///
/// `hop` gets the case and the job, submits the job inside [`Case::submit`], sees to its fate and says how it ended.
pub fn check_closure(hop_name: &str, fates: &[Fate], hop: impl Fn(&Case, Job) -> Ended) {
    assert_no_alarm();
    let _guard = stranger().attach();
    for &fate in fates {
        for submitted in SUBMITTED {
            let case = Case::new(hop_name, submitted, fate);
            let (probe, end) = (case.probe(), case.end());
            let job = move || {
                probe.saw("run");
                end()
            };
            let job: Job =
                if submitted == Submitted::Twice { Box::new(case.inner_context().wrap(job)) } else { Box::new(job) };

            let ended = hop(&case, job);

            case.assert_ended(ended);
            case.assert_saw(match fate {
                Fate::Completes | Fate::Errors | Fate::Panics => &["run"],
                Fate::Unstarted | Fate::Midway | Fate::Refused => &[],
            });
            case.assert_released();
            assert_stranger(&case.name);
            assert_no_alarm();
        }
    }
}

/// Runs a job here, and catches its panic.
pub fn catch(job: impl FnOnce() -> Output) -> Ended {
    Ended::from_unwind(catch_unwind(AssertUnwindSafe(job)))
}

// ---- Futures: everything that polls one ------------------------------------------------------------------------------

pub type Task = std::pin::Pin<Box<dyn Future<Output = Output> + Send>>;

/// The far end of a task of [`check_future`].
pub struct Remote {
    started: futures::channel::oneshot::Receiver<()>,
    go: Option<futures::channel::oneshot::Sender<()>>,
}

impl Remote {
    /// Waits until the task is half-way: polled, and pending.
    pub async fn started(&mut self) {
        (&mut self.started).await.expect("the task has begun");
    }

    /// Lets the task go on to its end.
    pub fn go(&mut self) {
        self.go.take().expect("once").send(()).expect("the task waits");
    }
}

/// Checks a hop that takes a future, for each given fate and each context.
///
/// `hop` gets the case, the task and its remote control, submits the task inside [`Case::submit`], sees to its fate and
/// says how it ended.
pub async fn check_future(hop_name: &str, fates: &[Fate], mut hop: impl AsyncFnMut(&Case, Task, Remote) -> Ended) {
    assert_no_alarm();
    for &fate in fates {
        for submitted in SUBMITTED {
            let case = Case::new(hop_name, submitted, fate);
            let (probe, end) = (case.probe(), case.end());
            let (started, started_rx) = futures::channel::oneshot::channel();
            let (go, go_rx) = futures::channel::oneshot::channel();
            let task = async move {
                probe.saw("first poll");
                started.send(()).expect("somebody waits");
                go_rx.await.expect("somebody says so");
                probe.saw("last poll");
                end()
            };
            let task: Task = if submitted == Submitted::Twice {
                Box::pin(task.with_context(case.inner_context()))
            } else {
                Box::pin(task)
            };

            let ended = hop(&case, task, Remote { started: started_rx, go: Some(go) }).await;

            case.assert_ended(ended);
            case.assert_saw(match fate {
                Fate::Completes | Fate::Errors | Fate::Panics => &["first poll", "last poll"],
                Fate::Midway => &["first poll"],
                Fate::Unstarted | Fate::Refused => &[],
            });
            case.assert_released();
            assert_stranger(&case.name);
            assert_no_alarm();
        }
    }
}

// ---- Messages: every channel -----------------------------------------------------------------------------------------

/// What the matrix sends.
pub trait Message: Clone + Send + Sync + fmt::Debug + 'static {}

impl<T: Clone + Send + Sync + fmt::Debug + 'static> Message for T {}

/// A way of sending; one row of the channels' matrix.
pub trait Channel {
    const NAME: &'static str;

    /// Sends and receives a message.
    fn pass<T: Message>(message: T) -> ctxhop::WithContext<T>;

    /// Sends a message, and returns the channel with the message in it.
    fn fill<T: Message>(message: T) -> Box<dyn Any>;

    /// Sends to a closed channel, and to a full one where there is such a thing, and returns the refused message.
    fn refuse<T: Message>(message: T) -> T;
}

/// Checks a channel, for each given fate and each context: what is sent is a probe, and what is done with it is to run.
pub fn check_channel<C: Channel>(fates: &[Fate]) {
    assert_no_alarm();
    let _guard = stranger().attach();
    for &fate in fates {
        for submitted in SUBMITTED {
            let case = Case::new(C::NAME, submitted, fate);
            let (probe, end) = (case.probe(), case.end());
            let work = |probe: Probe| {
                move || {
                    probe.saw("run");
                    end()
                }
            };
            // A message that is bound already is a message whose content is bound.
            let ended = if submitted == Submitted::Twice {
                let message = probe.with_context(case.inner_context());
                send_message::<C, _>(&case, message, |message| message.run(|probe| work(probe)()))
            } else {
                send_message::<C, _>(&case, probe, |probe| work(probe)())
            };

            case.assert_ended(ended);
            case.assert_saw(if fate == Fate::Unstarted || fate == Fate::Refused { &[] } else { &["run"] });
            case.assert_released();
            assert_stranger(&case.name);
            assert_no_alarm();
        }
    }
}

fn send_message<C: Channel, T: Message>(case: &Case, message: T, work: impl FnOnce(T) -> Output) -> Ended {
    match case.fate {
        Fate::Refused => {
            let back = case.submit(|| C::refuse(message));
            if case.submitted != Submitted::Twice {
                case.assert_released();
            }
            // It came back bare, so its sender is who drops it.
            case.submit(|| drop(back));
            Ended::Gone
        }
        Fate::Unstarted => {
            // The channel is dropped in the stranger's context, and the message in its own all the same.
            drop(case.submit(|| C::fill(message)));
            Ended::Gone
        }
        _ => {
            let message = case.submit(|| C::pass(message));
            catch(|| message.run(work))
        }
    }
}
