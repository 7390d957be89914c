//! What must hold in every schedule.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
    time::Instant,
};

use shuttle::{
    rand::{Rng, thread_rng},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use crate::{
    blocking::block_on,
    store::{Envelope, Store},
};

pub(crate) const ALL: &[(&str, fn())] = &[
    ("each message is settled once, and all come to an end", settled_once),
    ("who clears the queue gets what the others left", cleared),
    ("room goes to who has waited longest", in_order),
    ("a publisher that gives up passes the room on", room_is_passed_on),
    ("a consumer that gives up passes the message on", message_is_passed_on),
    ("a stream that nobody polls holds no message up", idle_stream),
    ("closing wakes all publishers", closing_wakes_publishers),
    ("the end wakes all consumers", end_wakes_consumers),
    ("a waker may look at the queue when it is cloned", curious_waker),
];

type Queue = Arc<Store<usize>>;

const MESSAGES: usize = 4;

/// What has become of each message.
#[derive(Default)]
struct Tally {
    published: [usize; MESSAGES],
    put_back: [usize; MESSAGES],
    settled: [usize; MESSAGES],
}

type Shared = Arc<Mutex<Tally>>;

fn bounded(capacity: usize) -> Queue {
    Arc::new(Store::new(Some(capacity)))
}

fn of_any_capacity() -> Queue {
    Arc::new(Store::new([Some(1), Some(2), None][thread_rng().gen_range(0..3)]))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn try_publish(queue: &Queue, message: usize) -> bool {
    queue.try_publish(message, Instant::now()).is_ok()
}

fn take(queue: &Queue) -> usize {
    let envelope = block_on(queue.recv()).expect("the queue is open");
    queue.settle();
    envelope.message
}

/// Half of the messages from each of two threads, by any method.
fn publish_all(queue: &Queue, tally: &Shared) -> Vec<thread::JoinHandle<()>> {
    let publish = |from: usize| {
        let (queue, tally) = (Arc::clone(queue), Arc::clone(tally));
        thread::spawn(move || {
            for message in (from..MESSAGES).step_by(2) {
                let published = match thread_rng().gen_range(0..4) {
                    0 => try_publish(&queue, message),
                    1 => matches!(poll(pin!(queue.publish(message))), Poll::Ready(Ok(()))),
                    _ => block_on(queue.publish(message)).is_ok(),
                };
                tally.lock().unwrap().published[message] += usize::from(published);
            }
        })
    };
    vec![publish(0), publish(1)]
}

/// Puts a message back sometimes, the first time. Returns one that could not go back.
fn handle(queue: &Queue, tally: &Shared, envelope: Envelope<usize>) -> Option<usize> {
    let message = envelope.message;
    let mut now = tally.lock().unwrap();
    assert_eq!(envelope.deliveries, now.put_back[message] as u64 + 1, "once, and once more for each time it went back");
    if envelope.deliveries == 1 && thread_rng().gen_bool(0.4) {
        now.put_back[message] += 1;
        drop(now);
        return queue.put_back(envelope).err().map(|envelope| envelope.message);
    }
    now.settled[message] += 1;
    drop(now);
    queue.settle();
    None
}

/// Receives once, by any method, also by one that gives up before.
fn receive(queue: &Queue, place: &mut Option<u64>) -> Option<Envelope<usize>> {
    match thread_rng().gen_range(0..3) {
        0 => {
            if let Poll::Ready(received) = poll(pin!(queue.recv())) {
                return received;
            }
            block_on(queue.recv())
        }
        1 => block_on(queue.recv()),
        _ => block_on(poll_fn(|task| queue.poll_next(place, task))),
    }
}

fn settled_once() {
    let (queue, tally) = (of_any_capacity(), Shared::default());
    let publishers = publish_all(&queue, &tally);
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (queue, tally) = (Arc::clone(&queue), Arc::clone(&tally));
            thread::spawn(move || {
                let mut place = None;
                while let Some(envelope) = receive(&queue, &mut place) {
                    assert_eq!(handle(&queue, &tally, envelope), None, "there are consumers");
                }
                place.into_iter().for_each(|place| queue.leave(place));
            })
        })
        .collect();
    if thread_rng().gen_bool(0.5) {
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        queue.close();
    } else {
        queue.close();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    }
    consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
    let tally = tally.lock().unwrap();
    assert_eq!(tally.published, tally.settled);
    assert!(matches!(queue.try_recv(), Poll::Ready(None)));
}

fn cleared() {
    let (queue, tally) = (of_any_capacity(), Shared::default());
    let publishers = publish_all(&queue, &tally);
    let left = Arc::new(AtomicUsize::new(2));
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (queue, tally, left) = (Arc::clone(&queue), Arc::clone(&tally), Arc::clone(&left));
            thread::spawn(move || {
                let mut discarded = Vec::new();
                let in_hand = match queue.try_recv() {
                    Poll::Ready(envelope) => envelope,
                    Poll::Pending => None,
                };
                // As a consumer that is dropped while its delivery lives on.
                if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    discarded.extend(queue.abandon().into_iter().map(|envelope| envelope.message));
                }
                discarded.extend(in_hand.and_then(|envelope| handle(&queue, &tally, envelope)));
                let mut tally = tally.lock().unwrap();
                discarded.into_iter().for_each(|message| tally.settled[message] += 1);
            })
        })
        .collect();
    publishers.into_iter().chain(consumers).for_each(|thread| thread.join().unwrap());
    let tally = tally.lock().unwrap();
    assert_eq!(tally.published, tally.settled);
    assert_eq!(queue.len(), 0);
    assert!(!try_publish(&queue, 0));
}

fn in_order() {
    let queue = bounded(1);
    assert!(try_publish(&queue, 0));
    let (waits, has_waited) = mpsc::channel();
    let publishers: Vec<_> = (1..=3)
        .map(|message| {
            let waiting = Arc::clone(&queue);
            let waits = waits.clone();
            let publisher = thread::spawn(move || {
                let mut publishing = pin!(waiting.publish(message));
                assert!(poll(publishing.as_mut()).is_pending());
                waits.send(()).unwrap();
                block_on(publishing).ok().unwrap();
            });
            // Whoever comes next comes later.
            has_waited.recv().unwrap();
            publisher
        })
        .collect();
    let pushing = Arc::clone(&queue);
    let taken = Arc::new(AtomicUsize::new(0));
    let taken_by_then = Arc::clone(&taken);
    let pushy = thread::spawn(move || {
        let published = try_publish(&pushing, 4);
        // The third one to be taken is the last that somebody waited behind.
        assert!(!published || taken_by_then.load(Ordering::SeqCst) >= 3, "overtakes");
        published
    });
    for expected in 0..=3 {
        // Before, because room is there at once.
        taken.store(expected, Ordering::SeqCst);
        assert_eq!(take(&queue), expected);
    }
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    if pushy.join().unwrap() {
        assert_eq!(take(&queue), 4);
    }
    assert_eq!(queue.len(), 0);
}

fn room_is_passed_on() {
    let queue = bounded(1);
    assert!(try_publish(&queue, 0));
    let giving_up = Arc::clone(&queue);
    let gives_up = thread::spawn(move || {
        let mut publishing = pin!(giving_up.publish(1));
        poll(publishing.as_mut()).is_ready() || poll(publishing.as_mut()).is_ready()
    });
    let waiting = Arc::clone(&queue);
    let waits = thread::spawn(move || block_on(waiting.publish(2)).ok().unwrap());
    assert_eq!(take(&queue), 0);
    let first = take(&queue);
    if gives_up.join().unwrap() {
        assert_eq!(first + take(&queue), 3);
    } else {
        assert_eq!(first, 2);
    }
    waits.join().unwrap();
    assert!(try_publish(&queue, 3), "there is room again");
}

fn message_is_passed_on() {
    let queue = bounded(2);
    let giving_up = Arc::clone(&queue);
    let gives_up = thread::spawn(move || {
        let mut receiving = pin!(giving_up.recv());
        match poll(receiving.as_mut()) {
            Poll::Ready(envelope) => envelope,
            Poll::Pending => match poll(receiving.as_mut()) {
                Poll::Ready(envelope) => envelope,
                Poll::Pending => None,
            },
        }
        .map(|envelope| giving_up.put_back(envelope).is_ok())
    });
    let waiting = Arc::clone(&queue);
    let waits = thread::spawn(move || take(&waiting));
    assert!(try_publish(&queue, 1));
    assert_eq!(waits.join().unwrap(), 1);
    assert_ne!(gives_up.join().unwrap(), Some(false));
}

fn idle_stream() {
    let queue = bounded(1);
    let mut place = None;
    assert!(queue.poll_next(&mut place, &mut Context::from_waker(Waker::noop())).is_pending());
    let waiting = Arc::clone(&queue);
    let waits = thread::spawn(move || take(&waiting));
    assert!(try_publish(&queue, 1));
    assert_eq!(waits.join().unwrap(), 1);
    place.into_iter().for_each(|place| queue.leave(place));
}

fn closing_wakes_publishers() {
    let queue = bounded(1);
    assert!(try_publish(&queue, 0));
    let publishers: Vec<_> = (1..=2)
        .map(|message| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || block_on(queue.publish(message)).is_ok())
        })
        .collect();
    let receives = thread_rng().gen_bool(0.5);
    if receives {
        assert_eq!(take(&queue), 0);
    }
    assert!(queue.close());
    let published = publishers.into_iter().map(|publisher| publisher.join().unwrap());
    let published = published.filter(|published| *published).count();
    assert_eq!(published, queue.len() - usize::from(!receives), "what is refused is not in the queue");
}

fn end_wakes_consumers() {
    let queue = bounded(1);
    assert!(try_publish(&queue, 0));
    let in_hand = block_on(queue.recv()).unwrap();
    let consumers: Vec<_> = (0..3)
        .map(|at| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut place = None;
                let received = match at {
                    0 => block_on(poll_fn(|task| queue.poll_next(&mut place, task))),
                    _ => block_on(queue.recv()),
                };
                received.map(|envelope| assert_eq!((envelope.deliveries, queue.settle()), (2, ()))).is_some()
            })
        })
        .collect();
    let settling = Arc::clone(&queue);
    let comes_back = thread_rng().gen_bool(0.5);
    let settles = thread::spawn(move || match comes_back {
        true => assert!(settling.put_back(in_hand).is_ok()),
        false => settling.settle(),
    });
    queue.close();
    settles.join().unwrap();
    let received = consumers.into_iter().map(|consumer| consumer.join().unwrap()).filter(|received| *received).count();
    assert_eq!(received, usize::from(comes_back));
}

/// What looks at a queue when it is cloned. Shuttle panics if the queue is locked then.
fn curious(queue: &Store<usize>) -> Waker {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| (), |_| (), |_| ());

    fn clone(queue: *const ()) -> RawWaker {
        // SAFETY: it is the queue that `curious` was given, and the case below drops it last.
        unsafe { &*queue.cast::<Store<usize>>() }.len();
        RawWaker::new(queue, &VTABLE)
    }

    // SAFETY: nothing is owned, and a wake does nothing.
    unsafe { Waker::from_raw(RawWaker::new((&raw const *queue).cast(), &VTABLE)) }
}

fn curious_waker() {
    let queue = bounded(1);
    let looking = Arc::clone(&queue);
    let looks = thread::spawn(move || (0..3).for_each(|_| assert!(looking.len() <= 1)));
    let waker = curious(&queue);
    let mut task = Context::from_waker(&waker);
    let mut place = None;
    assert!(pin!(queue.recv()).poll(&mut task).is_pending());
    assert!(queue.poll_next(&mut place, &mut task).is_pending());
    assert!(try_publish(&queue, 0));
    assert!(pin!(queue.publish(1)).poll(&mut task).is_pending());
    looks.join().unwrap();
    place.into_iter().for_each(|place| queue.leave(place));
}
