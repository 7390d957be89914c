//! How a queue comes to its end: closed, drained, or cleared.

use super::*;

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
                let noted = Message::new(7).with_headers(Headers::from_iter([("lang", "en")]));
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
fn a_full_queue_that_is_closed_says_so() {
    let (publisher, consumer) = bounded(1);
    publisher.try_publish(1).unwrap();
    assert!(matches!(publisher.try_publish(2), Err(TryPublishError::Full(_))));
    consumer.close();
    let Err(TryPublishError::Closed(back)) = publisher.try_publish(2) else { panic!("there will never be room") };
    assert_eq!(back.payload, 2);
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
            assert_eq!(blocked.join().unwrap().unwrap_err().into_message().payload, 3);
            let Poll::Ready(Err(back)) = poll(waiting) else { panic!("it is refused") };
            assert_eq!(back.into_message().payload, 2);
            if let Some(consumer) = consumer {
                assert_eq!(consumer.try_recv().unwrap().into_message().payload, 1, "what was in is delivered");
                assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
            }
        });
    }
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

        first.retry();
        let Poll::Ready(Some(again)) = poll(waiting.as_mut()) else { panic!("it came back") };
        assert_eq!((again.payload, again.delivery_count()), (1, 2));
        again.ack();
        assert_eq!(consumer.try_recv().unwrap_err(), TryRecvError::Closed);
        assert!(matches!(poll(pin!(consumer.next())), Poll::Ready(None)));
        assert!(consumer.is_terminated());
    }
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
