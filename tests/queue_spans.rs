//! What a queue leaves behind in traces: the same as any broker, with attempts that are linked.

use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex},
    task::{self, Waker},
    time::Instant,
};

use ctxhop::{
    carrier::Headers,
    messaging::{Destination, Relation, Trust},
    prelude::*,
    propagation::TraceContextPropagator,
    queue::{self, Consumer, Message, Publisher},
    testing::TraceRecorder,
};
use futures::executor::block_on;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{SpanId, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SpanData;

const DELIVERY_COUNT: &str = "ctxhop.delivery_count";
const TIME_IN_QUEUE: &str = "ctxhop.time_in_queue";

fn recorded(recorder: &TraceRecorder, destination: Destination) -> Destination {
    destination.with_tracer_provider(recorder.provider()).with_propagator(TraceContextPropagator::new())
}

fn orders(recorder: &TraceRecorder) -> (Publisher<&'static str>, Consumer<&'static str>) {
    queue::bounded(recorded(recorder, Destination::in_memory("orders")), 1)
}

fn request(recorder: &TraceRecorder) -> Context {
    Context::new().with_span(recorder.tracer("test").start("request"))
}

fn drawn(recorder: &TraceRecorder) -> String {
    recorder.tree().display().durations(false).to_string()
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|it| it.key.as_str() == key).map(|it| &it.value)
}

fn spans(recorder: &TraceRecorder, name: &str) -> Vec<SpanData> {
    let mut spans: Vec<_> = recorder.spans().into_iter().filter(|span| span.name == name).collect();
    spans.sort_by_key(|span| span.start_time);
    spans
}

fn links(span: &SpanData) -> Vec<SpanId> {
    span.links.iter().map(|link| link.span_context.span_id()).collect()
}

#[test]
fn continues_the_trace() {
    type Publish = fn(&Publisher<&'static str>);
    let publish: [Publish; 3] = [
        |publisher| block_on(publisher.publish("apples")).unwrap(),
        |publisher| publisher.publish_blocking("apples").unwrap(),
        |publisher| publisher.try_publish("apples").unwrap(),
    ];
    for publish in publish {
        let recorder = TraceRecorder::new();
        let (publisher, consumer) = orders(&recorder);
        request(&recorder).run(|| publish(&publisher));
        let published = Instant::now();
        let mut delivery = consumer.try_recv().unwrap();
        let shortest = published.elapsed();
        let tracer = recorder.tracer("test");
        delivery.process().run(|| drop(tracer.start("pack")));
        assert!(!Context::current().has_active_span());
        delivery.ack();

        assert_eq!(
            drawn(&recorder),
            "request\n\
             └─ send orders [producer]\n   \
                └─ process orders [consumer] ~> send orders\n      \
                   └─ pack"
        );
        let [send, process] = ["send orders", "process orders"].map(|name| spans(&recorder, name).remove(0));
        assert_eq!(attribute(&send, "messaging.system"), Some(&"in_memory".into()));
        assert_eq!(attribute(&send, "messaging.destination.name"), Some(&"orders".into()));
        assert_eq!(attribute(&send, DELIVERY_COUNT), None);
        assert_eq!(attribute(&process, DELIVERY_COUNT), Some(&Value::I64(1)));
        let Some(Value::F64(waited)) = attribute(&process, TIME_IN_QUEUE) else { panic!("in seconds") };
        let longest = process.start_time.duration_since(send.start_time).unwrap();
        assert!((shortest.as_secs_f64()..=longest.as_secs_f64() + 0.001).contains(waited), "{waited} s of {longest:?}");
    }
}

#[test]
fn publishing_captures_at_the_call() {
    let recorder = TraceRecorder::new();
    let (publisher, _consumer) = orders(&recorder);
    let publish = request(&recorder).run(|| publisher.publish("apples"));
    Context::new().run(|| block_on(publish)).unwrap();
    assert_eq!(drawn(&recorder), "request\n└─ send orders [producer]");
}

#[test]
fn a_publish_ends_when_its_message_is_in_the_queue() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = orders(&recorder);
    publisher.try_publish("apples").unwrap();
    recorder.clear();
    let mut waiting = pin!(publisher.publish("pears"));
    let mut task = task::Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut task).is_pending());
    assert!(recorder.spans().is_empty(), "it waits for room");
    consumer.try_recv().unwrap().ack();
    assert!(recorder.spans().is_empty(), "there is room, and it has not taken it");
    assert!(waiting.as_mut().poll(&mut task).is_ready());
    assert_eq!(spans(&recorder, "send orders")[0].status, Status::Unset);
}

#[test]
fn attempts_are_counted_and_linked() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = orders(&recorder);
    request(&recorder).run(|| publisher.try_publish("apples")).unwrap();

    let mut delivery = consumer.try_recv().unwrap();
    let headers = delivery.headers.clone();
    delivery.process().run(|| Err::<(), _>("no apples")).unwrap_err();
    delivery.retry();

    let mut delivery = consumer.try_recv().unwrap();
    let handle = || -> () { panic!("rotten") };
    catch_unwind(AssertUnwindSafe(move || delivery.process().run(handle))).unwrap_err();

    let mut delivery = consumer.try_recv().unwrap();
    {
        let mut handling = pin!(async move { delivery.process().run_async(pending::<()>).await });
        assert!(handling.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
    }

    // A delivery that is not processed is counted all the same; there is nothing to link to.
    consumer.try_recv().unwrap().retry();

    let mut delivery = consumer.try_recv().unwrap();
    delivery.process().run(|| ());
    assert_eq!(delivery.headers, headers, "which do not grow");
    delivery.ack();

    assert_eq!(
        drawn(&recorder),
        "request\n\
         └─ send orders [producer]\n   \
            ├─ process orders [consumer] ERROR: cancelled ~> process orders, send orders\n   \
            ├─ process orders [consumer] ERROR: no apples ~> send orders\n   \
            ├─ process orders [consumer] ERROR: panicked ~> process orders, send orders\n   \
            └─ process orders [consumer] ~> process orders, send orders"
    );
    let send = spans(&recorder, "send orders").remove(0).span_context.span_id();
    let attempts = spans(&recorder, "process orders");
    let counts: Vec<_> = attempts.iter().map(|span| attribute(span, DELIVERY_COUNT).unwrap().as_str()).collect();
    assert_eq!(counts, ["1", "2", "3", "5"]);
    let mut previous = None;
    for attempt in &attempts {
        assert_eq!(links(attempt), [send].into_iter().chain(previous).collect::<Vec<_>>());
        for (at, link) in attempt.links.iter().enumerate() {
            let told: &[KeyValue] = if at == 0 { &[] } else { &[KeyValue::new("ctxhop.link", "previous attempt")] };
            assert_eq!(link.attributes, told);
        }
        previous = Some(attempt.span_context.span_id());
    }
    let error_types: Vec<_> = attempts.iter().map(|it| attribute(it, "error.type").map(Value::as_str)).collect();
    assert_eq!(error_types, [Some("&str".into()), Some("panic".into()), Some("cancelled".into()), None]);
}

#[test]
fn operations_are_named_after_their_type() {
    let recorder = TraceRecorder::new();
    let named = recorded(&recorder, Destination::in_memory("orders")).operation_name("publish");
    let (publisher, consumer) = queue::unbounded(named);
    publisher.try_publish("apples").unwrap();
    consumer.try_recv().unwrap().process().run(|| ());
    assert_eq!(drawn(&recorder), "send orders [producer]\n└─ process orders [consumer] ~> send orders");
}

#[test]
fn what_is_refused_ends_its_span() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = orders(&recorder);
    publisher.try_publish("apples").unwrap();
    publisher.try_publish("pears").unwrap_err();
    {
        let mut waiting = pin!(publisher.publish("plums"));
        assert!(waiting.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
    }
    drop(publisher.publish("cherries"));
    drop(consumer);
    publisher.try_publish("quinces").unwrap_err();
    publisher.publish_blocking("grapes").unwrap_err();
    block_on(publisher.publish("figs")).unwrap_err();

    let ended: Vec<_> = spans(&recorder, "send orders")
        .iter()
        .map(|span| {
            let description = match &span.status {
                Status::Error { description } => description.to_string(),
                _ => String::new(),
            };
            (attribute(span, "error.type").map(|it| it.as_str().into_owned()).unwrap_or_default(), description)
        })
        .collect();
    let [full, cancelled, closed] = [
        ("full", "publishing to a full queue"),
        ("cancelled", "cancelled"),
        ("closed", "publishing to a closed queue"),
    ]
    .map(|(kind, description)| (kind.to_owned(), description.to_owned()));
    let expected = [Default::default(), full, cancelled.clone(), cancelled, closed.clone(), closed.clone(), closed];
    assert_eq!(ended, expected);
}

/// Says in which span it is dropped.
struct Dropped(Arc<Mutex<Vec<SpanId>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(Context::current().span().span_context().span_id());
    }
}

#[test]
fn who_gives_up_drops_the_message_in_the_span_that_says_so() {
    let recorder = TraceRecorder::new();
    let (publisher, _consumer) = queue::bounded(recorded(&recorder, Destination::in_memory("orders")), 1);
    let dropped_in = Arc::new(Mutex::new(Vec::new()));
    publisher.try_publish(Dropped(Arc::clone(&dropped_in))).unwrap();
    recorder.clear();
    drop(publisher.publish(Dropped(Arc::clone(&dropped_in))));
    {
        let mut waiting = pin!(publisher.publish(Dropped(Arc::clone(&dropped_in))));
        assert!(waiting.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
    }
    let cancelled: Vec<_> = spans(&recorder, "send orders").iter().map(|span| span.span_context.span_id()).collect();
    assert_eq!(*dropped_in.lock().unwrap(), cancelled);
}

#[test]
fn a_refused_message_links_its_attempts_to_be_sent() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = orders(&recorder);
    publisher.try_publish("apples").unwrap();
    let back = publisher.try_publish("pears").unwrap_err().into_message();
    let headers = back.headers.clone();
    consumer.try_recv().unwrap().ack();
    publisher.try_publish_message(back).unwrap();
    let mut delivery = consumer.try_recv().unwrap();
    assert_eq!(delivery.headers, headers);
    delivery.process().run(|| ());
    delivery.ack();

    let sends = spans(&recorder, "send orders");
    assert_eq!(sends[2].span_kind, SpanKind::Client);
    assert_eq!(links(&sends[2]), [sends[1].span_context.span_id()]);
    assert_eq!(links(&spans(&recorder, "process orders")[0]), [sends[1].span_context.span_id()]);
}

#[test]
fn what_nobody_will_receive_is_told() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = queue::unbounded(recorded(&recorder, Destination::in_memory("orders")));
    for order in ["apples", "pears", "plums"] {
        publisher.try_publish(order).unwrap();
    }
    let in_hand = consumer.try_recv().unwrap();
    drop(consumer);
    in_hand.retry();

    let sent: Vec<_> = spans(&recorder, "send orders").iter().map(|span| span.span_context.span_id()).collect();
    let discarded = spans(&recorder, "discard orders");
    let linked: Vec<_> = discarded.iter().map(links).collect();
    assert_eq!(linked, [vec![sent[1], sent[2]], vec![sent[0]]]);
    for discard in discarded {
        assert_eq!(discard.status, Status::error("no consumer is left"));
        assert_eq!(attribute(&discard, "error.type"), Some(&"no_consumer".into()));
    }

    recorder.clear();
    drop(queue::unbounded::<()>(recorded(&recorder, Destination::in_memory("orders"))));
    assert!(recorder.spans().is_empty(), "nothing was lost");
}

/// As many links as the SDK keeps, and the number of all.
#[test]
fn a_long_backlog_is_counted_and_not_linked_as_a_whole() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = queue::unbounded(recorded(&recorder, Destination::in_memory("orders")));
    for order in 0..200 {
        publisher.try_publish(order).unwrap();
    }
    let sent: Vec<_> = spans(&recorder, "send orders").iter().map(|span| span.span_context.span_id()).collect();
    drop(consumer);
    let discard = spans(&recorder, "discard orders").remove(0);
    assert_eq!(links(&discard), sent[..128]);
    assert_eq!(discard.links.dropped_count, 0);
    assert_eq!(attribute(&discard, "messaging.batch.message_count"), Some(&Value::I64(200)));
}

#[test]
fn what_nobody_will_receive_is_dropped_in_the_span_that_says_so() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = queue::unbounded(recorded(&recorder, Destination::in_memory("orders")));
    let dropped_in = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        publisher.try_publish(Dropped(Arc::clone(&dropped_in))).unwrap();
    }
    let in_hand = consumer.try_recv().unwrap();
    drop(consumer);
    drop(in_hand);
    let [many, one] = [0, 1].map(|at| spans(&recorder, "discard orders")[at].span_context.span_id());
    assert_eq!(*dropped_in.lock().unwrap(), [many, many, one]);
}

#[test]
fn is_parked_in_its_own_trace() {
    let recorder = TraceRecorder::new();
    let (publisher, consumer) = orders(&recorder);
    let (parking, parked) = queue::unbounded::<&str>(recorded(&recorder, Destination::in_memory("parked")));
    request(&recorder).run(|| publisher.try_publish("apples")).unwrap();
    let delivery = consumer.try_recv().unwrap();
    let headers = delivery.headers.clone();
    parking.try_publish_message(delivery.into_message()).unwrap();
    let mut delivery = parked.try_recv().unwrap();
    assert_eq!(delivery.delivery_count(), 1, "of that queue");
    delivery.process().run(|| ());
    assert_eq!(delivery.into_message(), Message::new("apples").with_headers(headers));
    assert_eq!(
        drawn(&recorder),
        "request\n\
         └─ send orders [producer]\n   \
            └─ process parked [consumer] ~> send orders\n\
         send parked [client] ~> send orders"
    );
}

#[test]
fn heeds_the_destination() {
    let recorder = TraceRecorder::new();
    let destination = recorded(&recorder, Destination::in_memory("orders"));
    let expected = [
        (destination.clone().relation(Relation::Link), "worker\n└─ process orders [consumer] ~> send orders\n"),
        (destination.clone().trust(Trust::Ignore), "worker\n└─ process orders [consumer]\n"),
        (destination.relation(Relation::Parent), "└─ process orders [consumer] ~> send orders, worker\n"),
    ];
    for (destination, expected) in expected {
        recorder.clear();
        let (publisher, consumer) = queue::unbounded::<&str>(destination);
        publisher.try_publish("apples").unwrap();
        let mut delivery = consumer.try_recv().unwrap();
        let worker = Context::new().with_span(recorder.tracer("test").start("worker"));
        worker.run(|| delivery.process().run(|| ()));
        drop(worker);
        delivery.ack();
        let drawn = drawn(&recorder) + "\n";
        assert!(drawn.contains(expected), "{drawn}");
    }
}

type Pairs = Vec<(String, String)>;

/// The queue does what the client of a broker does, and nothing else: the traces are the same.
#[test]
fn leaves_the_same_trace_as_a_wire() {
    let through = |pass: fn(&Destination, Vec<&'static str>)| {
        let recorder = TraceRecorder::new();
        let destination = recorded(&recorder, Destination::in_memory("orders"));
        request(&recorder).run(|| pass(&destination, vec!["apples", "pears", ""]));
        recorder
    };
    fn handle(payload: &str) -> Result<(), &'static str> {
        if payload.is_empty() { Err("nothing") } else { Ok(()) }
    }

    let queue = through(|destination, payloads| {
        let (publisher, consumer) = queue::unbounded::<&str>(destination.clone());
        for payload in payloads {
            publisher.try_publish(payload).unwrap();
        }
        drop(publisher);
        Context::new().run(|| {
            while let Some(mut delivery) = consumer.recv_blocking() {
                let _ = delivery.process().run(|| handle(delivery.payload));
                delivery.ack();
            }
        });
    });
    let wire = through(|destination, payloads| {
        let mut wire: Vec<(Pairs, Vec<u8>)> = Vec::new();
        for payload in payloads {
            let mut headers = Headers::new();
            destination.send(&mut headers).run(|| {
                let headers = headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                wire.push((headers, payload.as_bytes().to_vec()));
            });
        }
        Context::new().run(|| {
            for (headers, body) in wire {
                let payload = String::from_utf8(body).unwrap();
                let operation = destination.process(&headers).delivery_count(1).attribute(TIME_IN_QUEUE, 0.0);
                let _ = operation.run(|| handle(&payload));
            }
        });
    });
    assert_eq!(drawn(&queue), drawn(&wire));
    assert_eq!(queue.spans().len(), 1 + 3 + 3);

    // All but ids and times.
    let told = |recorder: &TraceRecorder| {
        let told = recorder.spans().into_iter().map(|mut span| {
            span.attributes
                .iter_mut()
                .filter(|it| it.key.as_str() == TIME_IN_QUEUE)
                .for_each(|it| it.value = 0.0.into());
            (span.name, span.span_kind, span.attributes, span.status, span.links.len(), span.events.len())
        });
        told.map(|span| format!("{span:?}")).collect::<Vec<_>>()
    };
    assert_eq!(told(&queue), told(&wire));
}
