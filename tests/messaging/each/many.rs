//! Many messages: how many are in hand at once, and how the loop ends.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, pending, ready},
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Poll},
};

use ctxhop::{
    messaging::{Destination, Policy, StreamError, Tally},
    queue::{self, Message},
};
use futures::{
    StreamExt,
    channel::oneshot,
    executor::block_on,
    stream::{self, Stream},
};
use opentelemetry::trace::Status;

use super::{Parcel, handle, yield_now};
use crate::rig::{NoApples, Rig};

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

#[derive(Default)]
struct Woken(AtomicUsize);

impl task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
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
