//! What goes in comes out, or comes back: at least once, to one at a time, also when the queue is full or closed.

#[path = "../support/mod.rs"]
mod support;

mod ending;
mod random;
mod settling;

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    future::{pending, ready},
    hint,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{self, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
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
        Err(error) => panic!("{error}"),
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
                let noted = Message::new(2).with_headers(Headers::from_iter([("lang", "en")]));
                publish(&publisher, noted).unwrap();
                assert_eq!((publisher.len(), consumer.len()), (2, 2), "{name}");
                assert!(!publisher.is_empty() && !consumer.is_empty(), "{name}");

                let first = receive(&mut consumer).unwrap();
                let second = receive(&mut consumer).unwrap();
                assert_eq!((first.payload, second.payload), (1, 2), "{name}");
                assert_eq!(second.headers.get("lang"), Some("en"), "{name}");
                assert_eq!((first.delivery_count(), second.delivery_count()), (1, 1), "{name}");
                assert!(publisher.is_empty() && consumer.is_empty(), "{name}");
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
fn nobody_overtakes_who_waits_for_room() {
    let (publisher, consumer) = bounded(1);
    publisher.try_publish(0).unwrap();
    // The wait begins at the first poll, not at the call.
    let mut third = pin!(publisher.publish(3));
    let mut second = pin!(publisher.publish(2));
    let mut first = Box::pin(publisher.publish(1));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());

    consumer.try_recv().unwrap().ack();
    assert!(matches!(publisher.try_publish(4), Err(TryPublishError::Full(_))), "the room is the first one's");
    assert!(poll(pin!(publisher.publish(5))).is_pending());
    assert!(poll(third.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    drop(first);
    assert!(poll(third.as_mut()).is_pending(), "the second one comes before");
    assert!(matches!(publisher.try_publish(4), Err(TryPublishError::Full(_))));
    assert!(poll(second.as_mut()).is_ready());

    assert_eq!(consumer.try_recv().unwrap().into_message().payload, 2);
    assert!(poll(third.as_mut()).is_ready());
    assert_eq!(consumer.try_recv().unwrap().into_message().payload, 3);
    publisher.try_publish(6).expect("nobody waits any more");
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
    let delivery = woken(stream.next(), || delivery.retry()).unwrap();
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

/// A waker keeps its task alive, and everything that the task has.
#[test]
fn who_waits_no_more_is_forgotten() {
    let (publisher, consumer) = bounded(1);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut task = task::Context::from_waker(&waker);
    let mut waits = |poll: &mut dyn FnMut(&mut task::Context<'_>) -> bool| {
        for _ in 0..2 {
            assert!(poll(&mut task));
            assert_eq!(Arc::strong_count(&woken), 3, "once, however often it is polled");
        }
    };
    let assert_forgotten = || assert_eq!(Arc::strong_count(&woken), 2);

    let mut receiving = Box::pin(consumer.recv());
    waits(&mut |task| receiving.as_mut().poll(task).is_pending());
    drop(receiving);
    assert_forgotten();

    let mut stream = consumer.clone();
    waits(&mut |task| stream.poll_next_unpin(task).is_pending());
    drop(stream);
    assert_forgotten();

    publisher.try_publish(1).unwrap();
    let mut publishing = Box::pin(publisher.publish(2));
    waits(&mut |task| publishing.as_mut().poll(task).is_pending());
    drop(publishing);
    assert_forgotten();
}

#[test]
fn who_gives_up_wakes_the_next_for_a_message_alone() {
    let (publisher, consumer) = bounded(1);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut called = Box::pin(consumer.recv());
    let mut next = Box::pin(consumer.recv());
    assert!(poll(called.as_mut()).is_pending());
    assert!(next.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
    publisher.try_publish(1).unwrap();
    // Somebody else was faster than the one that was called.
    consumer.try_recv().unwrap().ack();
    drop(called);
    assert_eq!(woken.0.load(Ordering::SeqCst), 0, "there is no message");

    let mut called = Box::pin(consumer.recv());
    assert!(poll(called.as_mut()).is_pending());
    publisher.try_publish(2).unwrap();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "who came first is called first");
    drop(called);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "who was not called calls nobody");
    assert!(poll(next.as_mut()).is_ready());
}

/// A stream keeps its place while nobody polls it, so to call one stream alone could leave the message to nobody.
#[test]
fn a_message_wakes_every_stream_and_one_of_those_who_receive() {
    let (publisher, consumer) = queue::unbounded(orders());
    let wakers = [(); 4].map(|()| Arc::new(Woken::default()));
    let mut tasks = wakers.clone().map(Waker::from).into_iter();
    let mut waits = |mut future: std::pin::Pin<&mut dyn Future<Output = Option<Delivery<u32>>>>| {
        let waker = tasks.next().unwrap();
        assert!(future.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
    };
    let mut streams = [consumer.clone(), consumer.clone()];
    for stream in &mut streams {
        waits(pin!(stream.next()));
    }
    let (mut first, mut second) = (pin!(consumer.recv()), pin!(consumer.recv()));
    waits(first.as_mut());
    waits(second.as_mut());
    publisher.try_publish(1).unwrap();
    assert_eq!(wakers.map(|woken| woken.0.load(Ordering::SeqCst)), [1, 1, 1, 0]);
}

#[test]
fn tells_its_capacity() {
    for capacity in [1, 100, usize::MAX] {
        let (publisher, consumer) = bounded(capacity);
        assert_eq!((publisher.capacity(), consumer.capacity()), (Some(capacity), Some(capacity)));
        publisher.try_publish(1).unwrap();
        consumer.try_recv().unwrap().ack();
    }
    let (publisher, consumer) = queue::unbounded::<u32>(orders());
    assert_eq!((publisher.capacity(), consumer.capacity()), (None, None));
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
