use std::{
    fmt,
    future::{Pending, pending},
};

use super::{Outcome, Settlement};

/// How [`process_each`](super::Destination::process_each) settles messages, and how many it works on at once.
///
/// By default it works on one message at a time. It acknowledges a message when the handler succeeds, and has it delivered
/// again, without end, when the handler fails or panics. So say after how many [`attempts`](Self::attempts) a message is
/// rejected, or one that always fails goes round forever.
///
/// # The time limit
///
/// An acknowledgement to a broker that is gone may never return, and the message would stay in hand forever. So each policy
/// starts with a limit: [`new`](Self::new) takes what makes a timer of your runtime, `within` (feature `tokio`) a duration.
/// A settlement that takes longer is given up: its span ends as `timeout`.
///
/// # Examples
///
/// ```
/// use ctxhop::messaging::{Policy, Verdict};
/// use std::{io, time::Duration};
///
/// let policy = Policy::within(Duration::from_secs(10)).at_once(16).attempts(5);
///
/// // Or on any other runtime, and with a reason that is final:
/// let timer = || futures::future::ready(()); // your runtime's timer
/// let policy = Policy::new(timer).decide(|result: &io::Result<()>| match result {
///     Ok(()) => Verdict::Ack,
///     Err(error) if error.kind() == io::ErrorKind::InvalidData => Verdict::Reject,
///     Err(_) => Verdict::Retry,
/// });
/// ```
#[derive(Clone, Copy)]
pub struct Policy<L, D = ByOutcome> {
    pub(super) limit: L,
    decide: D,
    attempts: u64,
    pub(super) at_once: usize,
}

impl<L, W> Policy<L>
where
    L: Fn() -> W,
    W: Future,
{
    /// A policy that gives up a settlement when the future that `limit` makes is ready first.
    ///
    /// `limit` is called for each settlement: `|| async_io::Timer::after(LIMIT)`.
    #[must_use]
    pub const fn new(limit: L) -> Self {
        Self { limit, decide: ByOutcome, attempts: u64::MAX, at_once: 1 }
    }
}

#[cfg(feature = "tokio")]
impl Policy<()> {
    /// A policy that gives up a settlement after this time, by tokio's timer.
    ///
    /// # Panics
    ///
    /// Each settlement panics if the loop runs outside of a tokio runtime, or in one without a timer. The loop goes on, and
    /// counts them in the [`Tally`](super::Tally).
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    #[must_use]
    pub fn within(limit: std::time::Duration) -> Policy<impl Fn() -> tokio::time::Sleep + Clone> {
        Policy::new(move || tokio::time::sleep(limit))
    }
}

impl Policy<fn() -> Pending<()>> {
    /// A policy that waits for each settlement as long as it takes. Use it where a settlement cannot hang, as in a queue
    /// of this process.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(pending)
    }
}

impl<L, D> Policy<L, D> {
    /// How many messages the loop works on at once. They are all polled by the task that polls the loop; to use more
    /// threads, spawn in the handler, or run several loops. A zero counts as one.
    #[must_use]
    pub fn at_once(self, messages: usize) -> Self {
        Self { at_once: messages.max(1), ..self }
    }

    /// After so many deliveries a message is rejected instead of delivered again.
    ///
    /// There is no pause between the attempts but the broker's own, and many have none: five failures can take less than a
    /// millisecond. If an attempt needs time, wait in the handler before it fails. A rejected message is lost, unless the
    /// broker has dead letters.
    ///
    /// It goes by [`Delivered::delivered_at_least`](super::Delivered::delivered_at_least). A broker that tells nothing gives no
    /// limit, except that with `attempts(1)` no message is delivered again. One that tells only whether this is the first time
    /// gives the limits one and two.
    #[must_use]
    pub fn attempts(self, attempts: u64) -> Self {
        Self { attempts, ..self }
    }

    /// Decides by the handler's result. A `Retry` is still subject to [`attempts`](Self::attempts).
    ///
    /// Without it, [`Outcome`] decides between `Ack` and `Retry`. A handler that panics has no result: it is `Retry`, like a
    /// result at which `decide` panics.
    #[must_use]
    pub fn decide<R, F>(self, decide: F) -> Policy<L, ByResult<F>>
    where
        F: Fn(&R) -> Verdict,
    {
        Policy { limit: self.limit, decide: ByResult(decide), attempts: self.attempts, at_once: self.at_once }
    }

    /// `result`: `None` if the handler has panicked.
    pub(super) fn verdict<R>(&self, result: Option<&R>, deliveries: u64) -> Verdict
    where
        D: Decide<R>,
    {
        match result.map_or(Verdict::Retry, |result| self.decide.decide(result)) {
            Verdict::Retry if deliveries >= self.attempts => Verdict::Reject,
            verdict => verdict,
        }
    }
}

impl<L, D> fmt::Debug for Policy<L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, at_once, .. } = self;
        f.debug_struct("Policy").field("attempts", attempts).field("at_once", at_once).finish_non_exhaustive()
    }
}

/// What becomes of a message that the handler is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done.
    Ack,
    /// It is delivered again.
    Retry,
    /// It is given up.
    Reject,
}

impl From<Verdict> for Settlement {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ack => Self::Ack,
            Verdict::Retry => Self::Retry,
            Verdict::Reject => Self::Reject,
        }
    }
}

/// Decides what becomes of a message: [`ByOutcome`] or [`ByResult`]. It is sealed.
pub trait Decide<R>: sealed::Sealed {
    #[doc(hidden)]
    fn decide(&self, result: &R) -> Verdict;
}

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements `Decide`")]
    pub trait Sealed {}

    impl Sealed for super::ByOutcome {}
    impl<F> Sealed for super::ByResult<F> {}
}

/// A failure is retried. This is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByOutcome;

impl<R: Outcome> Decide<R> for ByOutcome {
    fn decide(&self, result: &R) -> Verdict {
        if result.failure().is_some() { Verdict::Retry } else { Verdict::Ack }
    }
}

/// What the function of [`Policy::decide`] says.
#[derive(Clone, Copy)]
pub struct ByResult<F>(F);

impl<R, F: Fn(&R) -> Verdict> Decide<R> for ByResult<F> {
    fn decide(&self, result: &R) -> Verdict {
        (self.0)(result)
    }
}

impl<F> fmt::Debug for ByResult<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByResult").finish_non_exhaustive()
    }
}
