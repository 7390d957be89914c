//! What goes in comes out, or comes back: at least once, to one at a time, also when the queue is full or closed.

mod support;

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{self, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use ctxhop::{
    carrier::Headers,
    messaging::Destination,
    queue::{self, Consumer, Delivery, Message, PublishError, Publisher, TryPublishError, TryRecvError},
};
use futures::{StreamExt, executor::block_on, stream::FusedStream};
use proptest::{collection::vec, prelude::*};
use static_assertions::assert_impl_all;
use support::{assert_stranger, stranger};

assert_impl_all!(Publisher<u32>: Send, Sync, Unpin, Clone, fmt::Debug);
assert_impl_all!(Consumer<u32>: Send, Sync, Unpin, Clone, fmt::Debug, FusedStream);
assert_impl_all!(Delivery<u32>: Send, Sync, Unpin, fmt::Debug);
assert_impl_all!(Message<u32>: Send, Sync, Clone, Default, PartialEq, fmt::Debug, From<u32>);
// Neither has to be `Clone` or `Debug` for the queue to be.
struct Bare;
assert_impl_all!(Publisher<Bare>: Clone, fmt::Debug);
assert_impl_all!(Consumer<Bare>: Clone, fmt::Debug);
assert_impl_all!(PublishError<Bare>: std::error::Error);
assert_impl_all!(TryPublishError<Bare>: std::error::Error);

fn orders() -> Destination {
    Destination::in_memory("orders")
}

fn bounded(capacity: usize) -> (Publisher<u32>, Consumer<u32>) {
    queue::bounded(orders(), capacity)
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut task::Context::from_waker(Waker::noop()))
}

/// Publishes without waiting, as one that has to must fail the test.
type Publish = fn(&Publisher<u32>, Message<u32>) -> Result<(), Message<u32>>;

const PUBLISH: [(&str, Publish); 3] = [
    ("publish", |publisher, message| block_on(publisher.publish_message(message)).map_err(PublishError::into_message)),
    ("publish_blocking", |publisher, message| {
        publisher.publish_message_blocking(message).map_err(PublishError::into_message)
    }),
    ("try_publish", |publisher, message| publisher.try_publish_message(message).map_err(TryPublishError::into_message)),
];

/// Receives what is there; `None` when the queue has ended.
type Receive = fn(&mut Consumer<u32>) -> Option<Delivery<u32>>;

/// Those that wait for a message.
const RECEIVE_WAITING: [Receive; 3] =
    [|consumer| block_on(consumer.recv()), |consumer| consumer.recv_blocking(), |consumer| block_on(consumer.next())];

const RECEIVE: [(&str, Receive); 4] = [
    ("recv", RECEIVE_WAITING[0]),
    ("recv_blocking", RECEIVE_WAITING[1]),
    ("next", RECEIVE_WAITING[2]),
    ("try_recv", |consumer| match consumer.try_recv() {
        Ok(delivery) => Some(delivery),
        Err(TryRecvError::Closed) => None,
        Err(TryRecvError::Empty) => panic!("empty"),
    }),
];

#[test]
fn comes_out_as_it_went_in() {
    let _guard = stranger().attach();
    for (publish_name, publish) in PUBLISH {
        for (receive_name, receive) in RECEIVE {
            for (publisher, mut consumer) in [bounded(2), queue::unbounded(orders())] {
                let name = format!("{publish_name}, {receive_name}, {:?}", publisher.capacity());
                publish(&publisher, 1.into()).unwrap();
                let noted = Message { headers: Headers::from_iter([("lang", "en")]), payload: 2 };
                publish(&publisher, noted).unwrap();
                assert_eq!((publisher.len(), consumer.len()), (2, 2), "{name}");

                let first = receive(&mut consumer).unwrap();
                let second = receive(&mut consumer).unwrap();
                assert_eq!((first.payload, second.payload), (1, 2), "{name}");
                assert_eq!(second.headers.get("lang"), Some("en"), "{name}");
                assert_eq!((first.delivery_count(), second.delivery_count()), (1, 1), "{name}");
                assert!(consumer.is_empty(), "{name}");
                first.ack();
                second.ack();

                drop(publisher);
                assert!(receive(&mut consumer).is_none(), "{name}: ends when the last publisher is gone");
                assert_stranger(&name);
            }
        }
    }
}

#[test]
fn every_first_delivery_makes_room() {
    for (name, receive) in RECEIVE {
        let (publisher, mut consumer) = bounded(1);
        for n in 0..3 {
            publisher.try_publish(n).expect(name);
            receive(&mut consumer).unwrap().ack();
        }
    }
}

#[test]
fn closed_gives_back() {
    for (name, publish) in PUBLISH {
        type Close = fn(&Publisher<u32>, &mut Option<Consumer<u32>>);
        let closings: [(&str, Close); 3] = [
            ("by a publisher", |publisher, _| assert!(publisher.clone().close())),
            ("by a consumer", |_, consumer| assert!(consumer.as_ref().unwrap().close())),
            ("for want of consumers", |_, consumer| *consumer = None),
        ];
        for (how, close) in closings {
            for (publisher, consumer) in [bounded(2), queue::unbounded(orders())] {
                let mut consumer = Some(consumer);
                assert!(!publisher.is_closed());
                close(&publisher, &mut consumer);
                assert!(publisher.is_closed(), "{name}, {how}");
                let noted = Message { headers: Headers::from_iter([("lang", "en")]), payload: 7 };
                let back = publish(&publisher, noted.clone()).unwrap_err();
                assert_eq!(back, noted, "{name}, {how}");
                assert!(publisher.is_empty(), "{name}, {how}");
                if let Some(consumer) = consumer {
                    assert!(consumer.is_closed(), "{name}, {how}");
                    assert!(!consumer.close(), "{name}, {how}: it was closed");
                    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed, "{name}, {how}");
                }
            }
        }
    }
}

#[test]
fn full_gives_back_or_waits_for_the_first_delivery() {
    let (publisher, consumer) = bounded(1);
    publisher.try_publish(1).unwrap();
    let Err(TryPublishError::Full(back)) = publisher.try_publish(2) else { panic!("there is no room") };
    assert_eq!(back.payload, 2);

    let mut waiting = pin!(publisher.publish(3));
    assert!(poll(waiting.as_mut()).is_pending());
    let first = consumer.try_recv().unwrap();
    assert!(matches!(poll(waiting), Poll::Ready(Ok(()))), "a delivery makes room, before it is settled");
    first.ack();
    assert_eq!(consumer.try_recv().unwrap().payload, 3);
}

#[test]
fn blocked_publisher_goes_on_with_the_next_delivery() {
    let (publisher, consumer) = bounded(1);
    publisher.try_publish(0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (1..100).for_each(|n| publisher.publish_blocking(n).unwrap()));
        for n in 0..100 {
            let delivery = consumer.recv_blocking().unwrap();
            assert_eq!(delivery.payload, n);
            delivery.ack();
        }
    });
}

#[test]
fn waiting_publishers_are_refused_when_the_queue_closes() {
    type Close = fn(Publisher<u32>, Consumer<u32>) -> Option<Consumer<u32>>;
    let closings: [Close; 3] = [
        |publisher, consumer| {
            publisher.close();
            Some(consumer)
        },
        |_, consumer| {
            consumer.close();
            Some(consumer)
        },
        |_, _| None,
    ];
    for close in closings {
        let (publisher, consumer) = bounded(1);
        publisher.try_publish(1).unwrap();
        let mut waiting = pin!(publisher.publish(2));
        assert!(poll(waiting.as_mut()).is_pending());
        let (started, has_started) = mpsc::channel();
        thread::scope(|scope| {
            let blocked = scope.spawn(|| {
                started.send(()).unwrap();
                publisher.publish_blocking(3)
            });
            has_started.recv().unwrap();
            let consumer = close(publisher.clone(), consumer);
            assert_eq!(blocked.join().unwrap().unwrap_err().0.payload, 3);
            let Poll::Ready(Err(PublishError(back))) = poll(waiting) else { panic!("it is refused") };
            assert_eq!(back.payload, 2);
            if let Some(consumer) = consumer {
                assert_eq!(consumer.try_recv().unwrap().into_message().payload, 1, "what was in is delivered");
                assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
            }
        });
    }
}

#[test]
fn cancelled_publish_takes_no_room() {
    let (publisher, consumer) = bounded(1);
    drop(publisher.publish(1));
    publisher.try_publish(2).unwrap();
    {
        let mut waiting = pin!(publisher.publish(3));
        assert!(poll(waiting.as_mut()).is_pending());
    }
    consumer.try_recv().unwrap().ack();
    publisher.try_publish(4).unwrap();
    assert!(publisher.try_publish(5).is_err(), "room for one");
    assert_eq!(consumer.try_recv().unwrap().into_message().payload, 4);
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn cancelled_receive_takes_no_message() {
    let (publisher, mut consumer) = bounded(1);
    {
        let mut waiting = pin!(consumer.recv());
        assert!(poll(waiting.as_mut()).is_pending());
        publisher.try_publish(1).unwrap();
    }
    {
        let mut next = pin!(consumer.next());
        assert!(matches!(poll(next.as_mut()), Poll::Ready(Some(_))), "which goes back");
    }
    assert_eq!(consumer.try_recv().unwrap().delivery_count(), 2);
}

#[test]
fn closing_drains_and_waits_for_what_others_have_in_hand() {
    for mut consumer in [bounded(2), queue::unbounded(orders())].map(|(publisher, consumer)| {
        publisher.try_publish(1).unwrap();
        publisher.try_publish(2).unwrap();
        consumer
    }) {
        assert!(consumer.is_closed(), "the last publisher is gone");
        let other = consumer.clone();
        let first = other.try_recv().unwrap();
        consumer.try_recv().unwrap().ack();

        assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Empty, "it may come back");
        let mut waiting = pin!(other.recv());
        assert!(poll(waiting.as_mut()).is_pending());
        assert!(poll(pin!(consumer.next())).is_pending());
        assert!(!consumer.is_terminated());

        first.nack(true);
        let Poll::Ready(Some(again)) = poll(waiting.as_mut()) else { panic!("it came back") };
        assert_eq!((again.payload, again.delivery_count()), (1, 2));
        again.ack();
        assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
        assert!(matches!(poll(pin!(consumer.next())), Poll::Ready(None)));
        assert!(consumer.is_terminated());
    }
}

/// The last consumer goes while others publish and put back: nothing stays behind.
#[test]
fn is_cleared_in_races() {
    for round in 0..500 {
        let (publisher, consumer) =
            if round % 2 == 0 { queue::bounded(orders(), 2) } else { queue::unbounded(orders()) };
        let held = Arc::new(());
        publisher.try_publish(Arc::clone(&held)).unwrap();
        let in_hand = consumer.try_recv().unwrap();
        let start = Barrier::new(3);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                (0..4).for_each(|_| _ = publisher.publish_blocking(Arc::clone(&held)));
            });
            scope.spawn(|| {
                start.wait();
                drop(in_hand);
            });
            start.wait();
            drop(consumer);
        });
        assert!(publisher.is_closed());
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

/// What may become of a delivery, and whether the message goes back.
type Settling = fn(Delivery<u32>);

const SETTLING: [(&str, bool, Settling); 9] = [
    ("ack", false, Delivery::ack),
    ("nack", false, |delivery| delivery.nack(false)),
    ("taken out", false, |delivery| drop(delivery.into_message())),
    ("requeued", true, |delivery| delivery.nack(true)),
    ("dropped", true, drop),
    ("dropped after it was processed", true, |mut delivery| delivery.process().run(|| ())),
    ("panicked", true, |mut delivery| {
        let handle = || -> () { panic!("handler's own panic") };
        let panicked = catch_unwind(AssertUnwindSafe(move || delivery.process().run(handle)));
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "handler's own panic");
    }),
    ("cancelled", true, |mut delivery| {
        let mut handling = pin!(async move { delivery.process().run_async(pending::<()>).await });
        assert!(poll(handling.as_mut()).is_pending());
    }),
    ("aborted", true, |mut delivery| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (started, has_started) = tokio::sync::oneshot::channel();
            let handling = tokio::spawn(async move {
                let handle = || async {
                    started.send(()).unwrap();
                    pending::<()>().await;
                };
                delivery.process().run_async(handle).await;
            });
            has_started.await.unwrap();
            handling.abort();
            assert!(handling.await.unwrap_err().is_cancelled());
        });
    }),
];

#[test]
fn goes_back_unless_settled_and_never_waits_or_fails() {
    let _guard = stranger().attach();
    for (name, goes_back, settle) in SETTLING {
        for closed in [false, true] {
            for (publisher, consumer) in [bounded(1), queue::unbounded(orders())] {
                let name = format!("{name}, closed: {closed}, {:?}", publisher.capacity());
                publisher.try_publish(1).unwrap();
                let delivery = consumer.try_recv().unwrap();
                // Full, where there is a limit.
                publisher.try_publish(2).unwrap();
                if closed {
                    publisher.close();
                }
                settle(delivery);
                assert_stranger(&name);

                let second = consumer.try_recv().unwrap();
                assert_eq!(second.payload, 2, "{name}: to the end of the queue");
                second.ack();
                if goes_back {
                    let again = consumer.try_recv().expect(&name);
                    assert_eq!((again.payload, again.delivery_count()), (1, 2), "{name}");
                    again.ack();
                }
                let ended = if closed { TryRecvError::Closed } else { TryRecvError::Empty };
                assert_eq!(consumer.try_recv().unwrap_err(), ended, "{name}");
            }
        }
    }
}

#[test]
fn a_message_that_goes_back_takes_no_room() {
    let (publisher, consumer) = bounded(1);
    let in_hand: Vec<_> = (0..3)
        .map(|n| {
            publisher.try_publish(n).unwrap();
            consumer.try_recv().unwrap()
        })
        .collect();
    drop(in_hand);
    assert_eq!(consumer.len(), 3);
    publisher.try_publish(3).unwrap();
    assert!(matches!(publisher.try_publish(4), Err(TryPublishError::Full(_))));
    // And receiving what went back makes none.
    assert_eq!(consumer.try_recv().unwrap().into_message().payload, 0);
    assert!(matches!(publisher.try_publish(4), Err(TryPublishError::Full(_))));
}

#[test]
fn is_cleared_with_its_last_consumer() {
    let (publisher, consumer) = queue::bounded::<Arc<()>>(orders(), 2);
    let payload = Arc::new(());
    publisher.try_publish(Arc::clone(&payload)).unwrap();
    publisher.try_publish(Arc::clone(&payload)).unwrap();
    let in_hand = consumer.try_recv().unwrap();
    drop(consumer.clone());
    assert_eq!(Arc::strong_count(&payload), 3, "there is still a consumer");
    drop(consumer);
    assert_eq!(Arc::strong_count(&payload), 2, "what is in hand stays");
    drop(in_hand);
    assert_eq!(Arc::strong_count(&payload), 1);
    assert_eq!(publisher.len(), 0);
}

#[test]
fn the_last_consumer_refuses_before_it_clears() {
    /// Answers when it is dropped, and would wait for room.
    struct Reply(Option<Publisher<Reply>>);
    impl Drop for Reply {
        fn drop(&mut self) {
            if let Some(publisher) = &self.0 {
                assert!(publisher.is_closed());
                assert!(matches!(publisher.try_publish(Reply(None)), Err(TryPublishError::Closed(_))));
                assert!(publisher.publish_blocking(Reply(None)).is_err());
            }
        }
    }
    let (publisher, consumer) = queue::bounded(orders(), 1);
    publisher.try_publish(Reply(Some(publisher.clone()))).unwrap();
    drop(consumer);
    assert!(!publisher.close(), "it was closed");
}

#[test]
fn is_cleared_also_of_what_panics() {
    struct Bad(Arc<()>);
    impl Drop for Bad {
        fn drop(&mut self) {
            if Arc::strong_count(&self.0) == 4 {
                panic!("payload's own panic");
            }
        }
    }
    let (publisher, consumer) = queue::bounded(orders(), 3);
    let held = Arc::new(());
    (0..3).for_each(|_| publisher.try_publish(Bad(Arc::clone(&held))).unwrap());
    let panicked = catch_unwind(AssertUnwindSafe(move || drop(consumer))).unwrap_err();
    assert_eq!(*panicked.downcast::<&str>().unwrap(), "payload's own panic");
    assert_eq!((Arc::strong_count(&held), publisher.len()), (1, 0));
}

#[test]
fn a_handler_may_change_the_message() {
    let (publisher, consumer) = queue::unbounded(orders());
    // Not `Sync`, and yet a handler that awaits can be spawned.
    publisher.try_publish(Cell::new(1)).unwrap();
    let handle = async move {
        let mut delivery = consumer.recv().await.unwrap();
        let operation = delivery.process();
        let payload = &mut delivery.payload;
        let handle = || async move {
            ready(()).await;
            payload.set(2);
        };
        operation.run_async(handle).await;
        drop(delivery);
        consumer.recv().await.unwrap().into_message().payload.get()
    };
    fn is_send<F: Send>(future: F) -> F {
        future
    }
    assert_eq!(block_on(is_send(handle)), 2);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asserts that the future waits, that `event` wakes it, and that it has something to say then.
#[track_caller]
fn woken<F: Future>(future: F, event: impl FnOnce()) -> F::Output {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut task = task::Context::from_waker(&waker);
    let mut future = pin!(future);
    assert!(future.as_mut().poll(&mut task).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    event();
    assert!(woken.0.load(Ordering::SeqCst) > 0, "it is woken");
    let Poll::Ready(output) = future.poll(&mut task) else { panic!("it is woken for nothing") };
    output
}

#[test]
fn who_waits_is_woken() {
    let (publisher, consumer) = bounded(1);
    let mut stream = consumer.clone();
    let delivery = woken(consumer.recv(), || publisher.try_publish(1).unwrap()).unwrap();
    let delivery = woken(stream.next(), || delivery.nack(true)).unwrap();
    let delivery = woken(consumer.recv(), || drop(delivery)).unwrap();
    publisher.try_publish(2).unwrap();
    woken(publisher.publish(3), || consumer.try_recv().unwrap().ack()).unwrap();
    consumer.try_recv().unwrap().ack();
    publisher.close();
    assert!(woken(stream.next(), || delivery.ack()).is_none());

    for close in [|consumer: Consumer<u32>| _ = consumer.close(), drop] {
        let (publisher, consumer) = bounded(1);
        publisher.try_publish(1).unwrap();
        assert!(woken(publisher.publish(2), || close(consumer)).is_err());
    }
    let (publisher, consumer) = bounded(1);
    assert!(woken(consumer.recv(), || drop(publisher)).is_none());
}

/// `select_next_some` panics where a stream says that it is terminated and has not said so when polled.
#[test]
fn a_stream_is_terminated_when_it_has_said_so() {
    let (publisher, consumer) = bounded(1);
    publisher.try_publish(1).unwrap();
    let delivery = consumer.try_recv().unwrap();
    drop(publisher);
    let mut stream = consumer.clone();
    assert!(poll(pin!(stream.select_next_some())).is_pending());
    delivery.ack();
    assert!(!stream.is_terminated());
    assert!(poll(pin!(stream.select_next_some())).is_pending());
    assert!(stream.is_terminated() && !consumer.clone().is_terminated());
}

#[test]
fn a_refused_message_does_not_keep_a_closed_queue_open() {
    let (publisher, consumer) = queue::unbounded(orders());
    publisher.try_publish(1).unwrap();
    let delivery = consumer.try_recv().unwrap();
    publisher.close();
    assert!(publisher.try_publish(2).is_err());
    delivery.ack();
    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
}

#[test]
fn tells_how_long_a_message_waits() {
    let long = Duration::from_millis(100);
    let (publisher, consumer) = bounded(1);
    thread::scope(|scope| {
        publisher.try_publish(1).unwrap();
        scope.spawn(|| publisher.publish_blocking(2).unwrap());
        thread::sleep(long);
        let first = consumer.recv_blocking().unwrap();
        let waited = first.time_in_queue();
        assert!(waited >= long, "{waited:?}");
        let second = consumer.recv_blocking().unwrap();
        assert!(second.time_in_queue() < waited, "to wait for room is not to be in the queue");
        first.nack(true);
        assert!(consumer.recv_blocking().unwrap().time_in_queue() < waited, "since it went back");
        second.ack();
    });
}

/// Publishers, consumers and a `close` that run into each other: what was published comes out, and all come to an end.
#[test]
fn survives_races() {
    for round in 0..500 {
        let (publisher, consumer) = match round % 3 {
            0 => queue::unbounded(orders()),
            capacity => bounded(capacity),
        };
        let (published, settled) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(PUBLISH.len() + RECEIVE_WAITING.len() + 1);
        thread::scope(|scope| {
            for (_, publish) in PUBLISH {
                let publisher = publisher.clone();
                let (start, published) = (&start, &published);
                scope.spawn(move || {
                    start.wait();
                    let taken = (0..3).filter(|n| publish(&publisher, (*n).into()).is_ok()).count();
                    published.fetch_add(taken, Ordering::Relaxed);
                });
            }
            for receive in RECEIVE_WAITING {
                let mut consumer = consumer.clone();
                let (start, settled) = (&start, &settled);
                scope.spawn(move || {
                    start.wait();
                    while let Some(delivery) = receive(&mut consumer) {
                        if delivery.delivery_count() == 1 && delivery.payload == 1 {
                            drop(delivery);
                        } else {
                            delivery.ack();
                            settled.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
                });
            }
            start.wait();
            publisher.close();
        });
        assert_eq!(published.into_inner(), settled.into_inner());
    }
}

#[test]
#[should_panic = "the capacity of a queue cannot be 0"]
fn has_room_for_one_at_least() {
    let _ = bounded(0);
}

#[test]
fn says_what_it_is() {
    let (publisher, consumer) = bounded(2);
    publisher.try_publish(1).unwrap();
    let said = "{ destination: Destination { system: \"in_memory\", name: \"orders\", template: None, .. }, len: 1, \
                capacity: Some(2), closed: false }";
    assert_eq!(format!("{publisher:?}"), format!("Publisher {said}"));
    assert_eq!(format!("{consumer:?}"), format!("Consumer {said}"));
    let delivery = consumer.try_recv().unwrap();
    assert_eq!(
        format!("{delivery:?}"),
        "Delivery { message: Message { headers: {}, payload: 1 }, delivery_count: 1, .. }"
    );
    publisher.close();
    assert_eq!(publisher.publish_blocking(2).unwrap_err().to_string(), "publishing to a closed queue");
    assert_eq!(publisher.try_publish(2).unwrap_err().to_string(), "publishing to a closed queue");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    Receive,
    Ack(usize),
    Requeue(usize),
    Discard(usize),
    Drop(usize),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Publish),
        6 => Just(Step::Receive),
        2 => any::<usize>().prop_map(Step::Ack),
        1 => any::<usize>().prop_map(Step::Requeue),
        1 => any::<usize>().prop_map(Step::Discard),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Close),
    ]
}

proptest! {
    /// Beside two plain lists: what is in the queue, and what is in hand.
    #[test]
    fn is_like_a_plain_list(capacity in prop::option::of(1_usize..4), steps in vec(step(), 0..60)) {
        let (publisher, consumer) = match capacity {
            Some(capacity) => bounded(capacity),
            None => queue::unbounded(orders()),
        };
        let mut waiting: VecDeque<(u32, u64)> = VecDeque::new();
        let mut in_hand: Vec<Delivery<u32>> = Vec::new();
        let mut closed = false;
        let mut next = 0;
        let pick = |at: usize, of: &mut Vec<Delivery<u32>>| (!of.is_empty()).then(|| of.remove(at % of.len()));
        for step in steps {
            match step {
                Step::Publish => {
                    let new = waiting.iter().filter(|(_, deliveries)| *deliveries == 0).count();
                    let full = capacity.is_some_and(|capacity| new >= capacity);
                    match publisher.try_publish(next) {
                        Ok(()) => prop_assert!(!closed && !full),
                        Err(TryPublishError::Closed(back)) => prop_assert!(closed && back.payload == next),
                        Err(TryPublishError::Full(back)) => prop_assert!(!closed && full && back.payload == next),
                    }
                    if !closed && !full {
                        waiting.push_back((next, 0));
                        next += 1;
                    }
                }
                Step::Receive => match consumer.try_recv() {
                    Ok(delivery) => {
                        let (payload, deliveries) = waiting.pop_front().unwrap();
                        prop_assert_eq!((delivery.payload, delivery.delivery_count()), (payload, deliveries + 1));
                        in_hand.push(delivery);
                    }
                    Err(error) => {
                        prop_assert!(waiting.is_empty());
                        let ended = closed && in_hand.is_empty();
                        prop_assert_eq!(error, if ended { TryRecvError::Closed } else { TryRecvError::Empty });
                    }
                },
                Step::Ack(at) => pick(at, &mut in_hand).into_iter().for_each(Delivery::ack),
                Step::Discard(at) => pick(at, &mut in_hand).into_iter().for_each(|delivery| delivery.nack(false)),
                Step::Requeue(at) | Step::Drop(at) => {
                    if let Some(delivery) = pick(at, &mut in_hand) {
                        waiting.push_back((delivery.payload, delivery.delivery_count()));
                        if let Step::Requeue(_) = step { delivery.nack(true) } else { drop(delivery) }
                    }
                }
                Step::Close => {
                    prop_assert_eq!(publisher.close(), !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(publisher.len(), waiting.len());
            prop_assert_eq!(consumer.is_closed(), closed);
        }
    }
}
