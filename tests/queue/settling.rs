//! What becomes of a message that a consumer has in hand.

use super::*;

/// What may become of a delivery, and whether the message goes back.
type Settling = fn(Delivery<u32>);

const SETTLING: [(&str, bool, Settling); 9] = [
    ("ack", false, Delivery::ack),
    ("reject", false, Delivery::reject),
    ("taken out", false, |delivery| drop(delivery.into_message())),
    ("retry", true, Delivery::retry),
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

/// Runs it, and returns the time before and after.
fn timed<R>(f: impl FnOnce() -> R) -> (Instant, R, Instant) {
    // Time is what is measured: nobody is waited for.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1) {
        hint::spin_loop();
    }
    let before = Instant::now();
    let result = f();
    (before, result, Instant::now())
}

/// Receives the message that came into the queue between these times.
#[track_caller]
fn receive_since(consumer: &Consumer<u32>, (before, (), after): (Instant, (), Instant)) -> Delivery<u32> {
    let delivery = consumer.try_recv().unwrap();
    let least = after.elapsed();
    let waited = delivery.time_in_queue();
    let most = before.elapsed();
    assert!((least..=most).contains(&waited), "{waited:?} is not between {least:?} and {most:?}");
    delivery
}

#[test]
fn tells_how_long_a_message_waits() {
    let (publisher, consumer) = bounded(1);
    let first = receive_since(&consumer, timed(|| publisher.try_publish(1).unwrap()));
    let first = receive_since(&consumer, timed(|| first.retry()));
    let second = receive_since(&consumer, timed(|| publisher.publish_blocking(2).unwrap()));

    let called = publisher.publish(3);
    let third = receive_since(&consumer, timed(|| block_on(called).unwrap()));

    publisher.try_publish(4).unwrap();
    let mut waiting = pin!(publisher.publish(5));
    assert!(poll(waiting.as_mut()).is_pending());
    let fourth = consumer.try_recv().unwrap();
    let fifth = receive_since(&consumer, timed(|| block_on(waiting).unwrap()));
    [first, second, third, fourth, fifth].into_iter().for_each(Delivery::ack);
}
