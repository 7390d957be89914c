//! Races, and random calls beside a plain list.

use super::*;

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
                        Err(other) => panic!("{other}"),
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
                Step::Discard(at) => pick(at, &mut in_hand).into_iter().for_each(|delivery| delivery.reject()),
                Step::Requeue(at) | Step::Drop(at) => {
                    if let Some(delivery) = pick(at, &mut in_hand) {
                        waiting.push_back((delivery.payload, delivery.delivery_count()));
                        if let Step::Requeue(_) = step { delivery.retry() } else { drop(delivery) }
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
