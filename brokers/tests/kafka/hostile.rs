//! A producer that means harm.

use std::{
    ffi::c_char,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use ctxhop::carrier::Carrier;
use ctxhop_brokers::{kafka::Kafka, rig::Rig};
use rdkafka::{
    Message,
    bindings::{rd_kafka_producev, rd_kafka_resp_err_t, rd_kafka_vtype_t},
    message::Headers,
    producer::{BaseProducer, Producer},
};

use crate::{LIMIT, next};

/// Sends a record with a valid `traceparent` after a header whose key is not UTF-8.
#[expect(unsafe_code, reason = "rdkafka itself takes no such key")]
fn send_hostile(producer: &BaseProducer) {
    let parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    // SAFETY: the arguments are pairs of a type and what the type says, with an end; all pointers live through the call, which
    // copies them; texts end with NUL; the client is valid as long as the producer.
    let error = unsafe {
        rd_kafka_producev(
            producer.client().native_ptr(),
            rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
            c"orders".as_ptr(),
            rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER,
            c"\xff\xfe".as_ptr(),
            ptr::null::<c_char>(),
            0_isize,
            rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER,
            c"traceparent".as_ptr(),
            parent.as_ptr(),
            parent.len() as isize,
            rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        )
    };
    assert_eq!(error, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    producer.flush(LIMIT).unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_utf8_ends_no_consumer() {
    let (rig, kafka) = (Rig::new(), Kafka::new());
    kafka.create_topic("orders");
    send_hostile(&kafka.config().create().unwrap());
    let consumer = kafka.consumer("orders");
    let message = next(&consumer).await;
    let by_hand = catch_unwind(AssertUnwindSafe(|| message.headers().unwrap().iter().count()));
    assert!(by_hand.is_err(), "rdkafka reads such keys now, and the carrier need not mind them any longer");

    assert_eq!(message.keys().collect::<Vec<_>>(), ["traceparent"]);
    rig.destination("kafka", "orders").process(&message).run(|| ());
    assert_eq!(rig.recorder.spans()[0].links.len(), 1);

    // What is sent on has the context, without that header.
    let mut headers = message.detach().detach_headers().unwrap();
    assert!(headers.set("traceparent", "1".into()));
    assert_eq!((headers.count(), headers.get_all("traceparent").collect::<Vec<_>>()), (1, vec!["1"]));
}
