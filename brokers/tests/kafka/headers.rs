//! What Kafka makes of headers.

use ctxhop::{
    Snapshot,
    carrier::{self, Carrier},
    messaging::Relation,
    testing::TraceRecorder,
};
use ctxhop_brokers::{
    kafka::Kafka,
    rig::{Rig, propagator},
};
use opentelemetry::{
    Context, KeyValue,
    baggage::BaggageExt,
    trace::{TraceContextExt, TraceFlags},
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use rdkafka::{
    Message,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

use crate::{LIMIT, deliver, next};

#[tokio::test]
async fn a_context_travels_among_repeated_and_null_headers() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let producer = kafka.producer("orders");
    let orders = rig.destination("kafka", "orders");
    let headers = OwnedHeaders::new()
        .insert(Header { key: "via", value: Some("a") })
        .insert(Header::<&str> { key: "via", value: None })
        .insert(Header { key: "via", value: Some(b"\xff".as_slice()) });
    let mut record = FutureRecord::to("orders").key("17").payload("two apples").headers(headers);
    let baggage = Context::new().with_baggage([KeyValue::new("tenant", "a b;c,d=ü")]);
    let send = baggage.run(|| orders.send(&mut record));
    send.run_async(|| deliver(&producer, record)).await.unwrap();

    let consumer = kafka.consumer("orders");
    let message = next(&consumer).await;
    assert_eq!(message.keys().collect::<Vec<_>>(), ["via", "via", "via", "traceparent", "baggage"]);
    assert_eq!(message.get_all("VIA").collect::<Vec<_>>(), ["a", carrier::NOT_TEXT, carrier::NOT_TEXT]);
    // What is read is the same of what is lent, kept, and of the headers alone.
    let owned = message.detach();
    orders.process(&message).run(|| {
        assert_eq!(Context::current().baggage().get("tenant").unwrap().as_str(), "a b;c,d=ü");
    });
    orders.process(&owned).run(|| ());
    orders.process(owned.headers().unwrap()).run(|| ());
    orders.process(message.headers().unwrap()).run(|| ());
    let root = rig.tree().assert_single_trace().children().len();
    assert_eq!(root, 4, "{}", rig.drawing());
}

#[tokio::test]
async fn a_lent_message_cannot_be_written_to() {
    let kafka = Kafka::new();
    let producer = kafka.producer("orders");
    deliver(&producer, FutureRecord::<str, str>::to("orders").payload("two apples")).await.unwrap();
    let consumer = kafka.consumer("orders");
    let mut message = next(&consumer).await;
    let rig = Rig::new();
    rig.destination("kafka", "orders").send(&mut message).run(|| ());
    assert_eq!(message.keys().count(), 0);
    assert!(!message.set("traceparent", "1".into()));
    message.remove("traceparent");
}

#[tokio::test]
async fn a_span_that_is_not_sampled_is_followed_all_the_same() {
    let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff));
    let rig = Rig { recorder };
    let kafka = Kafka::new();
    let producer = kafka.producer("orders");
    let orders = rig.destination("kafka", "orders").relation(Relation::Parent);
    let mut record = FutureRecord::<str, str>::to("orders").payload("two apples");
    let send = orders.send(&mut record);
    let sent = send.context().span().span_context().clone();
    send.run_async(|| deliver(&producer, record)).await.unwrap();

    let consumer = kafka.consumer("orders");
    let received = carrier::try_extract_with(&propagator(), &next(&consumer).await).unwrap();
    assert_eq!(received.span().span_context().trace_id(), sent.trace_id());
    assert_eq!(received.span().span_context().trace_flags(), TraceFlags::default());
    assert!(rig.recorder.spans().is_empty());
}

#[tokio::test]
async fn a_record_that_is_sent_again_has_one_traceparent() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let orders = rig.destination("kafka", "orders");
    let producer = kafka.producer("orders");
    let mean = kafka.config().set("message.max.bytes", "1000").create::<FutureProducer>().unwrap();
    let body = "apples ".repeat(1000);
    let mut record = FutureRecord::<str, str>::to("orders").payload(&body);
    let mut refused = None;
    let send = orders.send(&mut record);
    let outcome = send
        .run_async(async || {
            mean.send(record, LIMIT).await.map_err(|(error, message)| {
                refused = Some(message);
                error
            })
        })
        .await;
    outcome.unwrap_err();

    // The client gives the message back, and the context is still in it.
    let mut refused = refused.expect("the refused message");
    let mut record = FutureRecord::<str, str>::to("orders").payload(&body);
    record.headers = refused.detach_headers();
    orders.send(&mut record).run_async(|| deliver(&producer, record)).await.unwrap();
    let consumer = kafka.consumer("orders");
    let message = next(&consumer).await;
    assert_eq!(message.keys().collect::<Vec<_>>(), ["traceparent"]);
    orders.process(&message).run(|| ());
    // The second attempt keeps the message's creation context, and links to it.
    assert_eq!(
        rig.drawing(),
        "send orders [client] ~> send orders\n\
         send orders [producer] ERROR: Message production error: MessageSizeTooLarge (Broker: Message size too large)\n\
         └─ process orders [consumer] ~> send orders"
    );
}

#[tokio::test]
async fn a_record_that_found_no_broker_goes_on_when_there_is_one() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    let orders = rig.destination("kafka", "orders");
    let producer = kafka.producer("orders");
    let hasty = kafka.config().set("message.timeout.ms", "300").create::<FutureProducer>().unwrap();
    kafka.down();
    let mut record = FutureRecord::<str, str>::to("orders").payload("two apples");
    let send = orders.send(&mut record);
    let mut unsent = None;
    let outcome = send
        .run_async(async || {
            hasty.send(record, LIMIT).await.map_err(|(error, message)| {
                unsent = Some(message);
                error
            })
        })
        .await;
    outcome.unwrap_err();

    kafka.up();
    let mut record = FutureRecord::<str, str>::to("orders").payload("two apples");
    record.headers = unsent.expect("the message").detach_headers();
    orders.send(&mut record).run_async(|| deliver(&producer, record)).await.unwrap();
    let consumer = kafka.consumer("orders");
    orders.process(&next(&consumer).await).run(|| ());
    // The trace of the first attempt goes on, and the second attempt links to it.
    let tree = rig.tree();
    let first = tree.find("process orders").unwrap().span().parent_span_id;
    let sends: Vec<_> = tree.find_all("send orders").collect();
    assert_eq!(sends.len(), 2, "{tree}");
    let again = sends.iter().find(|send| !send.span().links.is_empty()).unwrap();
    assert_eq!(again.span().links[0].span_context.span_id(), first, "{tree}");
}
