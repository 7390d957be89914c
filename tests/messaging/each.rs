//! The consumer loop: what becomes of each message, and what the spans say of it.

use std::{
    cell::Cell,
    convert::Infallible,
    fmt,
    future::{Ready, pending, ready},
    io, iter,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Poll},
    time::Duration,
};

use ctxhop::{
    carrier::{Carrier, Headers},
    messaging::{Delivered, Destination, Failure, Outcome, Policy, Relation, StreamError, Tally, Verdict},
    prelude::*,
    queue::{self, Message},
};
use futures::{
    StreamExt,
    channel::oneshot,
    executor::block_on,
    stream::{self, Stream},
};
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, Status, TraceContextExt},
};

use crate::rig::{CREATION, NoApples, Rig, current, linked, listed, traced};

/// What a broker of this test delivers: it notes how it was settled, or refuses, or never answers.
struct Parcel {
    headers: Headers,
    body: &'static str,
    count: Option<u64>,
    least: Option<u64>,
    broker: Broker,
    settled: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Broker {
    Answers,
    Refuses,
    Hangs,
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Parcel {
    fn new(body: &'static str) -> Self {
        let (headers, settled) = (traced(), Arc::default());
        Self { headers, body, count: Some(1), least: None, broker: Broker::Answers, settled }
    }

    async fn settle(self, how: &str) -> Result<(), Refused> {
        assert!(current().is_valid(), "the broker is told inside the span");
        match self.broker {
            Broker::Answers => self.settled.lock().unwrap().push(format!("{how} {}", self.body)),
            Broker::Refuses => return Err(Refused),
            Broker::Hangs => pending().await,
        }
        Ok(())
    }
}

impl Carrier for Parcel {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.headers.keys()
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        iter::once(KeyValue::new("messaging.message.id", self.body))
    }
}

impl Delivered for Parcel {
    type Message = &'static str;
    type Error = Refused;

    fn message(&mut self) -> &'static str {
        self.body
    }

    fn delivery_count(&self) -> Option<u64> {
        self.count
    }

    fn delivered_at_least(&self) -> u64 {
        self.least.unwrap_or_else(|| self.count.unwrap_or(1))
    }

    fn destination(&self, consumer: &Destination) -> Destination {
        consumer.at(format!("{}.{}", consumer.name(), self.body))
    }

    fn ack(self) -> impl Future<Output = Result<(), Refused>> {
        self.settle("ack")
    }

    fn retry(self) -> impl Future<Output = Result<(), Refused>> {
        self.settle("retry")
    }

    fn reject(self) -> impl Future<Output = Result<(), Refused>> {
        self.settle("reject")
    }
}

/// By what the message is.
async fn handle(body: &'static str) -> Result<(), NoApples> {
    assert!(current().is_valid(), "the handler runs inside the span");
    match body {
        "rotten" => panic!("rotten"),
        "none" => Err(NoApples),
        _ => Ok(()),
    }
}

/// Runs one parcel through the loop.
fn process<L, W>(rig: &Rig, parcel: Parcel, policy: Policy<L>) -> (Tally, Vec<String>)
where
    L: Fn() -> W,
    W: Future,
{
    let settled = parcel.settled.clone();
    let tally = block_on(rig.orders.process_each(stream::iter([parcel]), handle, policy));
    let settled = settled.lock().unwrap().clone();
    (tally, settled)
}

// What becomes of a message.

#[test]
fn a_message_is_settled_by_what_became_of_it() {
    let policy = || Policy::unlimited().attempts(2);
    let cases = [
        ("fine", Some(1), "ack fine", (1, 0, 0, 0)),
        ("none", Some(1), "retry none", (0, 1, 0, 0)),
        ("none", Some(2), "reject none", (0, 0, 1, 0)),
        ("none", Some(3), "reject none", (0, 0, 1, 0)),
        ("none", None, "retry none", (0, 1, 0, 0)),
        ("rotten", Some(1), "retry rotten", (0, 1, 0, 1)),
        ("rotten", Some(2), "reject rotten", (0, 0, 1, 1)),
    ];
    for (body, count, settled, tallied) in cases {
        let rig = Rig::new();
        let (tally, log) = process(&rig, Parcel { count, ..Parcel::new(body) }, policy());
        assert_eq!(log, [settled]);
        assert_eq!((tally.acked, tally.retried, tally.rejected, tally.panicked), tallied, "{settled}");
        assert_eq!(tally.unsettled, 0);

        let span = rig.span("process orders");
        let status = match body {
            "rotten" => Status::error("panicked"),
            "none" => Status::error("no apples"),
            _ => Status::Unset,
        };
        assert_eq!(span.status, status);
    }
}

#[test]
fn a_broker_that_counts_nothing_tells_the_first_delivery_from_others() {
    let cases = [
        (None, None, 1, "reject none"),
        (None, None, 2, "retry none"),
        (None, Some(2), 2, "reject none"),
        (None, Some(2), 3, "retry none"),
        (Some(1), None, 2, "retry none"),
    ];
    for (count, least, attempts, settled) in cases {
        let rig = Rig::new();
        let parcel = Parcel { count, least, ..Parcel::new("none") };
        let (_, log) = process(&rig, parcel, Policy::unlimited().attempts(attempts));
        assert_eq!(log, [settled], "{count:?} {least:?} {attempts}");
        let counted = listed(&rig.span("process orders").attributes).contains("ctxhop.delivery_count=1");
        assert_eq!(counted, count.is_some(), "only a count is on the span");
    }
}

#[test]
fn a_policy_decides_by_the_result() {
    let policy = Policy::unlimited().attempts(5).decide(|result: &Result<(), NoApples>| match result {
        Ok(()) => Verdict::Retry,
        Err(NoApples) => Verdict::Reject,
    });
    let settled = Arc::<Mutex<Vec<String>>>::default();
    let parcels = ["fine", "none", "rotten"].map(|body| Parcel { settled: settled.clone(), ..Parcel::new(body) });
    let tally = block_on(Rig::new().orders.process_each(stream::iter(parcels), handle, policy));
    assert_eq!(*settled.lock().unwrap(), ["retry fine", "reject none", "retry rotten"]);
    assert_eq!((tally.retried, tally.rejected), (2, 1));
}

/// A delivery, its handler and its policy, which panic at one point.
struct Grenade {
    parcel: Parcel,
    explodes: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Destination,
    Count,
    Description,
    Attempt,
    Message,
    Handler,
    Work,
    Failure,
    Decision,
    Settling,
    Settlement,
    Limit,
    Timer,
    Drop,
}

impl Grenade {
    fn at(&self, at: At) {
        explode(self.explodes, at);
    }
}

fn explode(explodes: Option<At>, at: At) {
    assert_ne!(explodes, Some(at), "it explodes");
}

impl Drop for Grenade {
    fn drop(&mut self) {
        self.at(At::Drop);
    }
}

impl Carrier for Grenade {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.parcel.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.parcel.keys()
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.at(At::Description);
        self.parcel.describe()
    }
}

impl Delivered for Grenade {
    type Message = Option<At>;
    type Error = Refused;

    fn message(&mut self) -> Option<At> {
        self.at(At::Message);
        self.explodes
    }

    fn delivery_count(&self) -> Option<u64> {
        self.at(At::Count);
        Some(1)
    }

    fn destination(&self, consumer: &Destination) -> Destination {
        self.at(At::Destination);
        consumer.clone()
    }

    fn attempt(&mut self, _: SpanContext) -> Option<SpanContext> {
        self.at(At::Attempt);
        None
    }

    fn ack(self) -> impl Future<Output = Result<(), Refused>> {
        self.at(At::Settling);
        async move {
            yield_now().await;
            self.at(At::Settlement);
            Ok(())
        }
    }

    async fn retry(self) -> Result<(), Refused> {
        Ok(())
    }

    async fn reject(self) -> Result<(), Refused> {
        unreachable!("it is the first delivery")
    }
}

/// What a handler makes of a grenade.
struct Exploding(Option<At>);

impl Outcome for Exploding {
    fn failure(&self) -> Option<Failure> {
        explode(self.0, At::Failure);
        None
    }
}

#[test]
fn a_panic_ends_one_message_and_not_the_loop() {
    let handler = |explodes: Option<At>| {
        explode(explodes, At::Handler);
        async move {
            yield_now().await;
            explode(explodes, At::Work);
            Exploding(explodes)
        }
    };
    let decide = |result: &Exploding| {
        explode(result.0, At::Decision);
        Verdict::Ack
    };
    let unsettled =
        [At::Destination, At::Count, At::Description, At::Attempt, At::Settling, At::Settlement, At::Limit, At::Timer];
    let retried = [At::Message, At::Handler, At::Work, At::Failure, At::Decision];
    for at in unsettled.into_iter().chain(retried).chain([At::Drop]) {
        let rig = Rig::new();
        // The limit is one for all, so it explodes the first time.
        let limits = Cell::new(0);
        let limit = || {
            limits.set(limits.get() + 1);
            let explodes = (limits.get() == 1).then_some(at);
            explode(explodes, At::Limit);
            async move {
                explode(explodes, At::Timer);
                pending::<()>().await;
            }
        };
        let grenades = [Some(at), None].map(|explodes| Grenade { parcel: Parcel::new("fine"), explodes });
        let each = rig.orders.process_each(stream::iter(grenades), handler, Policy::new(limit).decide(decide));
        let tally = block_on(each);
        assert_eq!((tally.panicked, tally.rejected), (1, 0), "{at:?}");
        let expected = if retried.contains(&at) { (1, 1, 0) } else { (1, 0, 1) };
        assert_eq!((tally.acked, tally.retried, tally.unsettled), expected, "{at:?}");
        assert!(!current().is_valid(), "{at:?}: nothing stays attached");
        let fine = rig.recorder.spans().into_iter().filter(|span| span.status == Status::Unset);
        assert!(fine.filter(|span| span.name == "ack orders").count() == 1, "{at:?}");
    }
}

// The spans.

#[test]
fn settling_belongs_where_the_processing_does() {
    for ambient in [false, true] {
        for relation in [Relation::Auto, Relation::Parent, Relation::Link] {
            let mut rig = Rig::new();
            rig.orders = rig.orders.clone().relation(relation);
            let cx = if ambient { rig.ambient() } else { opentelemetry::Context::new() };
            cx.run(|| process(&rig, Parcel::new("fine"), Policy::unlimited()));
            let (processed, settled) = (rig.span("process orders"), rig.span("ack orders"));
            assert_eq!(settled.parent_span_id, processed.parent_span_id, "{relation:?}");
            assert_eq!(linked(&settled), linked(&processed), "{relation:?}");
            assert!(linked(&settled).contains(&CREATION));
            if processed.parent_span_id == CREATION || ambient {
                assert_eq!(settled.span_context.trace_id(), processed.span_context.trace_id());
            }
            assert!(settled.start_time >= processed.end_time);
        }
    }
}

#[test]
fn the_spans_belong_to_what_is_current_where_the_loop_is_polled() {
    let rig = Rig::new();
    let (calls, polls) = (rig.ambient(), rig.ambient());
    let parcels = stream::iter([Parcel::new("fine")]);
    let each = calls.run(|| rig.orders.process_each(parcels, handle, Policy::unlimited()));
    polls.run(|| block_on(each));
    let parent = polls.span().span_context().span_id();
    for name in ["process orders", "ack orders"] {
        assert_eq!(rig.span(name).parent_span_id, parent, "{name}");
    }
}

#[test]
fn a_delivery_tells_its_destination_and_itself() {
    let rig = Rig::new();
    process(&rig, Parcel { count: Some(3), ..Parcel::new("fine") }, Policy::unlimited());
    assert_eq!(
        listed(&rig.span("process orders").attributes),
        "ctxhop.delivery_count=3 destination.name=orders.fine destination.template=orders message.id=fine \
         operation.name=process operation.type=process system=rabbitmq"
    );
    assert!(listed(&rig.span("ack orders").attributes).contains("destination.name=orders.fine"));
}

#[test]
fn a_settlement_that_fails_is_told_and_the_loop_goes_on() {
    let rig = Rig::new();
    let parcels = [Parcel { broker: Broker::Refuses, ..Parcel::new("fine") }, Parcel::new("fine")];
    let tally = block_on(rig.orders.process_each(stream::iter(parcels), handle, Policy::unlimited()));
    assert_eq!((tally.acked, tally.unsettled), (1, 1));
    let failed: Vec<_> = rig.recorder.spans().into_iter().filter(|span| span.status != Status::Unset).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((&*failed[0].name, &failed[0].status), ("ack orders", &Status::error("refused")));
    assert!(listed(&failed[0].attributes).contains("Refused"));
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_never_returns_is_given_up() {
    let rig = Rig::new();
    let parcels = [Parcel { broker: Broker::Hangs, ..Parcel::new("fine") }, Parcel::new("fine")];
    let policy = Policy::within(Duration::from_secs(5));
    let tally = rig.orders.process_each(stream::iter(parcels), handle, policy).await;
    assert_eq!((tally.acked, tally.unsettled), (1, 1));
    let spans = rig.recorder.spans();
    let late = spans.iter().find(|span| span.status != Status::Unset).unwrap();
    assert_eq!(late.name, "ack orders");
    assert_eq!(late.status, Status::error("the settlement took too long"));
    assert!(listed(&late.attributes).contains("error.type=timeout"));
}

/// tokio has no timer there.
#[test]
fn a_time_limit_without_its_timer_costs_each_settlement_and_not_the_loop() {
    let timerless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for runtime in [None, Some(&timerless)] {
        let _guard = runtime.map(tokio::runtime::Runtime::enter);
        let rig = Rig::new();
        let parcels = stream::iter(["fine", "none"].map(Parcel::new));
        let tally = block_on(rig.orders.process_each(parcels, handle, Policy::within(Duration::from_secs(5))));
        assert_eq!((tally.unsettled, tally.panicked, tally.acked), (2, 2, 0), "{runtime:?}");
    }
}

/// What a client delivers that tells nothing of itself.
struct Plain;

impl Carrier for Plain {
    fn get_all<'a>(&'a self, _: &str) -> impl Iterator<Item = &'a str> {
        iter::empty()
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        iter::empty()
    }
}

impl Delivered for Plain {
    type Message = ();
    type Error = Infallible;

    fn message(&mut self) {}

    async fn ack(self) -> Result<(), Infallible> {
        Ok(())
    }

    async fn retry(self) -> Result<(), Infallible> {
        Ok(())
    }

    async fn reject(self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn of_a_delivery_that_tells_nothing_nothing_is_said() {
    let rig = Rig::new();
    let failing = |()| ready(Err::<(), _>(NoApples));
    block_on(rig.orders.process_each(stream::iter([Plain]), failing, Policy::unlimited()));
    let span = rig.span("process orders");
    assert!(linked(&span).is_empty());
    assert_eq!(
        listed(&span.attributes),
        "destination.name=orders error.type=messaging::rig::NoApples operation.name=process operation.type=process system=rabbitmq"
    );
}

// Many messages.

#[test]
fn so_many_at_once_and_no_more() {
    for limit in [0, 1, 3, 100] {
        let running = Cell::new(0);
        let (open, opened) = oneshot::channel::<()>();
        let opened = futures::FutureExt::shared(opened);
        let work = |_: &'static str| async {
            running.set(running.get() + 1);
            opened.clone().await.map_err(|_| NoApples)
        };
        let parcels = stream::iter((0..10).map(|_| Parcel::new("fine")));
        let policy = Policy::unlimited().at_once(limit);
        let mut each = pin!(Rig::new().orders.process_each(parcels, work, policy));
        assert!(each.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop())).is_pending());
        assert_eq!(running.get(), limit.clamp(1, 10));
        open.send(()).unwrap();
        assert_eq!((block_on(each).acked, running.get()), (10, 10));
    }
}

#[test]
fn a_stream_that_is_always_ready_leaves_the_thread_to_others() {
    let taken = Cell::new(0);
    let parcels = stream::repeat_with(|| {
        taken.set(taken.get() + 1);
        Parcel::new("fine")
    });
    let rig = Rig::new();
    let mut each = pin!(rig.orders.process_each(parcels, handle, Policy::unlimited()));
    let woken = Arc::new(Woken::default());
    let waker = task::Waker::from(woken.clone());
    assert!(each.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
    assert!(taken.get() < 1000);
    assert!(woken.0.load(Ordering::Relaxed) > 0, "it asks for the next poll");
}

#[test]
fn the_end_waits_for_what_is_in_hand() {
    let rig = Rig::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let (finish, finished) = oneshot::channel::<()>();
    let finished = futures::FutureExt::shared(finished);
    let parcels = stream::once(ready(Parcel::new("fine"))).chain(stream::pending()).take_until(stopped);
    let work = |_| {
        let finished = finished.clone();
        async move { finished.await.map_err(|_| NoApples) }
    };
    let mut each = pin!(rig.orders.process_each(parcels, work, Policy::unlimited().at_once(2)));
    let mut poll = || each.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
    assert!(poll().is_pending());
    stop.send(()).unwrap();
    assert!(poll().is_pending(), "one is still in hand");
    finish.send(()).unwrap();
    let Poll::Ready(tally) = poll() else { panic!("it has ended") };
    assert_eq!(tally.acked, 1);
}

#[test]
fn the_first_error_of_a_stream_ends_it_after_what_is_in_hand() {
    let rig = Rig::new();
    let parcel = Parcel::new("fine");
    let settled = parcel.settled.clone();
    let parcels = stream::iter([Ok(parcel), Err("broken"), Ok(Parcel::new("late"))]);
    let work = |_| async {
        yield_now().await;
    };
    let ended = block_on(rig.orders.try_process_each(parcels, work, Policy::unlimited().at_once(2)));
    let StreamError { error, tally, .. } = ended.unwrap_err();
    assert_eq!((error, tally.acked), ("broken", 1));
    assert_eq!(*settled.lock().unwrap(), ["ack fine"]);

    let parcels = stream::iter([Ok::<_, &str>(Parcel::new("fine"))]);
    let ended = block_on(rig.orders.try_process_each(parcels, handle, Policy::unlimited()));
    assert_eq!(ended.unwrap().acked, 1);
}

#[test]
fn dropped_it_gives_the_messages_back() {
    let rig = Rig::new();
    let orders = rig.connect(Destination::in_memory("orders"));
    let (publisher, consumer) = queue::unbounded(orders.clone());
    publisher.try_publish("two apples").unwrap();
    rig.recorder.clear();

    let work = |_: Message<&str>| pending::<()>();
    let mut each = Box::pin(orders.process_each(consumer.clone(), work, Policy::unlimited()));
    assert!(each.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop())).is_pending());
    drop(each);
    assert_eq!(rig.span("process orders").status, Status::error("cancelled"));
    assert_eq!(consumer.try_recv().unwrap().delivery_count(), 2);
}

#[tokio::test]
async fn it_can_be_spawned() {
    let rig = Rig::new();
    let (publisher, consumer) = queue::unbounded(rig.connect(Destination::in_memory("orders")));
    publisher.try_publish("two apples".to_owned()).unwrap();
    drop(publisher);
    let work = |message: Message<String>| async move {
        tokio::task::yield_now().await;
        (message.payload == "two apples").then_some(()).ok_or(NoApples)
    };
    let orders = consumer.destination().clone();
    // Without a limit, a message that is not acked would come again and again, and the test would hang.
    let tally = tokio::spawn(orders.process_each(consumer.take(2), work, Policy::unlimited())).await.unwrap();
    assert_eq!(tally.acked, 1, "the queue does not deliver it again");
}

// The queue, and any other broker.

#[test]
fn the_queue_and_a_broker_give_the_same_tree() {
    let rig = Rig::new();
    let orders = rig.connect(Destination::in_memory("orders"));
    let (publisher, consumer) = queue::unbounded(orders.clone());
    publisher.try_publish("none").unwrap();
    drop(publisher);
    // The consumer is another service, with a name of its own for the queue.
    let billing = rig.connect(Destination::in_memory("orders").consumer_group("billing"));
    let policy = Policy::unlimited().attempts(2);
    let tally = block_on(billing.process_each(consumer, |message: Message<_>| handle(message.payload), policy));
    assert_eq!((tally.retried, tally.rejected), (1, 1));
    let queued = rig.recorder.tree().display().durations(false).to_string();
    assert_eq!(
        queued,
        "send orders [producer]\n\
         ├─ process orders [consumer] ERROR: no apples ~> process orders, send orders\n\
         ├─ process orders [consumer] ERROR: no apples ~> send orders\n\
         ├─ reject orders [client] ~> send orders\n\
         └─ retry orders [client] ~> send orders"
    );
    let second = rig.recorder.spans().into_iter().filter(|span| span.name == "process orders").nth(1).unwrap();
    let said = listed(&second.attributes);
    assert!(said.contains("consumer.group.name=billing") && said.contains("ctxhop.delivery_count=2"));
    assert!(said.contains("ctxhop.time_in_queue="), "{said}");

    let rig = Rig::new();
    let mut headers = Headers::new();
    rig.orders.send(&mut headers).run(|| ());
    let attempts = [1, 2].map(|count| Parcel { headers: headers.clone(), count: Some(count), ..Parcel::new("none") });
    block_on(rig.orders.process_each(stream::iter(attempts), handle, policy));
    let delivered = rig.recorder.tree().display().durations(false).to_string();
    assert_eq!(
        delivered,
        queued.replace("~> process orders, send orders", "~> send orders"),
        "it remembers no attempt"
    );
}

// Helpers.

#[derive(Default)]
struct Woken(AtomicUsize);

impl task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|task| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What a stream of the loop may be.
#[expect(dead_code, reason = "it is there to compile")]
fn streams(orders: &Destination, parcels: impl Stream<Item = Parcel>) -> impl Future<Output = Tally> {
    let work = |_| -> Ready<Result<(), io::Error>> { ready(Ok(())) };
    orders.process_each(
        parcels.filter(|_| ready(true)).map(Ok::<_, Infallible>).map(Result::unwrap),
        work,
        Policy::unlimited(),
    )
}
