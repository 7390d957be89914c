//! The consumer loop.

use std::{
    any::type_name,
    convert::Infallible,
    error::Error,
    fmt,
    future::poll_fn,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream::{FuturesUnordered, StreamExt};
use pin_project_lite::pin_project;

use super::{Decide, Delivered, Destination, Outcome, Policy, Verdict, relation::Origin};
use crate::conventions::TIMEOUT;

/// How many deliveries the loop takes in one poll, so that a stream that is always ready leaves its task to others.
const BUDGET: usize = 64;

impl Destination {
    /// Processes and settles each message of a stream: one consumer loop for every broker and for the in-memory queue.
    ///
    /// For each delivery it starts the span of [`process`](Self::process), calls the handler with the message, and
    /// settles the delivery as the [`Policy`] says, in a span beside the first. It never stops for a message: a handler
    /// that fails or panics, and a settlement that fails, panics or takes too long, is in the spans and in the [`Tally`], and
    /// the loop goes on.
    ///
    /// # When it ends
    ///
    /// When the stream has ended and all messages in hand are settled. To end it earlier, end the stream:
    /// `deliveries.take_until(shutdown)`, by `futures::StreamExt`. Then the loop takes no more messages, and finishes
    /// those that it has.
    ///
    /// # What is current
    ///
    /// The spans belong to whatever is current where the loop is polled, as [`Relation`](super::Relation) says. A loop
    /// lives long: spawn it [detached](crate::Propagate::detached), or all messages join the trace that it was started in.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the messages in hand: handlers are dropped in their spans, which end as cancelled, and deliveries
    /// are dropped unsettled, so that they are delivered again.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{messaging::{Destination, Policy}, queue::{self, Message}};
    ///
    /// async fn handle(message: Message<&str>) -> Result<(), std::io::Error> {
    ///     println!("{}", message.payload);
    ///     Ok(())
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// let orders = Destination::in_memory("orders");
    /// let (publisher, consumer) = queue::bounded(orders.clone(), 8);
    /// publisher.publish("two apples").await.unwrap();
    /// drop(publisher);
    ///
    /// let tally = orders.process_each(consumer, handle, Policy::unlimited().attempts(3)).await;
    /// assert_eq!(tally.acked, 1);
    /// # });
    /// ```
    pub fn process_each<S, H, F, L, W, D>(
        &self,
        deliveries: S,
        handler: H,
        policy: Policy<L, D>,
    ) -> impl Future<Output = Tally> + use<S, H, F, L, W, D>
    where
        S: Stream<Item: Delivered>,
        H: Fn(<S::Item as Delivered>::Message) -> F,
        F: Future<Output: Outcome>,
        L: Fn() -> W,
        W: Future,
        D: Decide<F::Output>,
    {
        let deliveries = deliveries.map(Ok::<_, Infallible>);
        let each = each(self.clone(), deliveries, handler, policy);
        async { each.await.0 }
    }

    /// Like [`process_each`](Self::process_each), for a stream that may fail: most clients' streams give a [`Result`] for
    /// each delivery.
    ///
    /// # Errors
    ///
    /// The stream's first error, with the tally, once all messages in hand are settled. Where the stream goes on after an
    /// error, filter the errors out and use `process_each`; pause in the filter if the client does not pause itself, or the loop asks a
    /// broken server without end. The errors of this crate's clients are made of a [`StreamError`] by
    /// `?`.
    ///
    /// # Cancel safety
    ///
    /// As [`process_each`](Self::process_each).
    pub fn try_process_each<S, M, E, H, F, L, W, D>(
        &self,
        deliveries: S,
        handler: H,
        policy: Policy<L, D>,
    ) -> impl Future<Output = Result<Tally, StreamError<E>>> + use<S, M, E, H, F, L, W, D>
    where
        S: Stream<Item = Result<M, E>>,
        M: Delivered,
        H: Fn(M::Message) -> F,
        F: Future<Output: Outcome>,
        L: Fn() -> W,
        W: Future,
        D: Decide<F::Output>,
    {
        let each = each(self.clone(), deliveries, handler, policy);
        async {
            match each.await {
                (tally, None) => Ok(tally),
                (tally, Some(error)) => Err(StreamError { error, tally }),
            }
        }
    }
}

/// How many messages a consumer loop has settled, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Messages that are done.
    pub acked: u64,
    /// Deliveries that ended with `retry`: the message comes again.
    pub retried: u64,
    /// Messages that were given up.
    pub rejected: u64,
    /// Settlements that failed, panicked or took too long, and deliveries that panicked when they were asked where they come
    /// from. Nobody knows what becomes of the message.
    pub unsettled: u64,
    /// Messages whose handler, policy, delivery or settlement panicked, or whose result did when it was dropped. They are
    /// among the others too.
    pub panicked: u64,
}

/// The stream of [`try_process_each`](Destination::try_process_each) has failed. It reads as the stream's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamError<E> {
    /// The stream's error.
    pub error: E,
    /// What became of the messages before it.
    pub tally: Tally,
}

impl<E: fmt::Display> fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: Error> Error for StreamError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

async fn each<S, M, E, H, F, L, W, D>(
    consumer: Destination,
    deliveries: S,
    handler: H,
    policy: Policy<L, D>,
) -> (Tally, Option<E>)
where
    S: Stream<Item = Result<M, E>>,
    M: Delivered,
    H: Fn(M::Message) -> F,
    F: Future<Output: Outcome>,
    L: Fn() -> W,
    W: Future,
    D: Decide<F::Output>,
{
    let mut tally = Tally::default();
    let mut failure = None;
    let mut deliveries = pin!(deliveries);
    let mut in_hand = FuturesUnordered::new();
    let mut open = true;
    poll_fn(|task| {
        for _ in 0..BUDGET {
            while let Poll::Ready(Some(done)) = in_hand.poll_next_unpin(task) {
                tally.add(done);
            }
            if !open && in_hand.is_empty() {
                return Poll::Ready(());
            }
            if !open || in_hand.len() >= policy.at_once {
                return Poll::Pending;
            }
            match deliveries.as_mut().poll_next(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(delivery))) => {
                    in_hand.push(Caught { future: one(&consumer, delivery, &handler, &policy) });
                }
                Poll::Ready(end) => {
                    failure = end.and_then(Result::err);
                    open = false;
                }
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    drop(in_hand);
    (tally, failure)
}

/// What became of one delivery.
struct Done {
    settled: Option<Verdict>,
    panicked: bool,
}

impl Tally {
    /// `None` if something else than the handler panicked.
    fn add(&mut self, done: Option<Done>) {
        let done = done.unwrap_or(Done { settled: None, panicked: true });
        let count = match done.settled {
            None => &mut self.unsettled,
            Some(Verdict::Ack) => &mut self.acked,
            Some(Verdict::Retry) => &mut self.retried,
            Some(Verdict::Reject) => &mut self.rejected,
        };
        *count += 1;
        self.panicked += u64::from(done.panicked);
    }
}

async fn one<M, H, F, L, W, D>(consumer: &Destination, mut delivery: M, handler: &H, policy: &Policy<L, D>) -> Done
where
    M: Delivered,
    H: Fn(M::Message) -> F,
    F: Future<Output: Outcome>,
    L: Fn() -> W,
    W: Future,
    D: Decide<F::Output>,
{
    let destination = delivery.destination(consumer);
    let deliveries = delivery.delivered_at_least();
    let (operation, origin) = destination.process_delivered(&mut delivery);
    let work = operation.run_async(|| handler(delivery.message()));
    let result = Caught { future: work }.await;
    let verdict = |result| policy.verdict(result, deliveries);
    // A policy that panics at a result knows as little as if there were none.
    let decided = result.as_ref().and_then(|result| caught(|| verdict(Some(result))));
    let undecided = decided.is_none();
    let verdict = decided.unwrap_or_else(|| verdict(None));
    // The verdict stands, even if the result panics as it is dropped.
    let panicked = caught(|| drop(result)).is_none() || undecided;
    let settled = settle(&destination, origin, delivery, verdict, &policy.limit).await;
    Done { settled: settled.then_some(verdict), panicked }
}

pin_project! {
    /// The output, or `None` if the future has panicked.
    struct Caught<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let future = self.project().future;
        caught(|| future.poll(task)).map_or(Poll::Ready(None), |poll| poll.map(Some))
    }
}

/// The result, or `None` if `f` has panicked.
fn caught<R>(f: impl FnOnce() -> R) -> Option<R> {
    let payload = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => return Some(result),
        Err(payload) => payload,
    };
    // It is a stranger's value, whose destructor may panic too, and so on without end.
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(next);
    }
    None
}

/// Returns whether the broker has taken the settlement.
async fn settle<M, W: Future>(
    destination: &Destination,
    origin: Origin,
    delivery: M,
    verdict: Verdict,
    limit: impl Fn() -> W,
) -> bool
where
    M: Delivered,
{
    let settling = || async move {
        match verdict {
            Verdict::Ack => limited(delivery.ack(), limit()).await,
            Verdict::Retry => limited(delivery.retry(), limit()).await,
            Verdict::Reject => limited(delivery.reject(), limit()).await,
        }
    };
    let operation = destination.settle_at(origin, verdict.into());
    operation.error_type(Unsettled::<M::Error>::kind).run_async(settling).await.is_ok()
}

async fn limited<E>(settling: impl Future<Output = Result<(), E>>, limit: impl Future) -> Result<(), Unsettled<E>> {
    let (mut settling, mut limit) = (pin!(settling), pin!(limit));
    poll_fn(|task| {
        if let Poll::Ready(settled) = settling.as_mut().poll(task) {
            return Poll::Ready(settled.map_err(Unsettled::Failed));
        }
        limit.as_mut().poll(task).map(|_| Err(Unsettled::TooLate))
    })
    .await
}

/// Why a delivery is not settled.
enum Unsettled<E> {
    Failed(E),
    TooLate,
}

impl<E> Unsettled<E> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => type_name::<E>(),
            Self::TooLate => TIMEOUT,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Unsettled<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::TooLate => f.write_str("the settlement took too long"),
        }
    }
}
