//! The contract, a row for each type of each client; and what each refuses.

use async_nats::{HeaderMap, HeaderName, HeaderValue, jetstream};
use ctxhop::{
    carrier::Carrier,
    clients::rumqttc_0_25::Opened,
    testing::{CarrierContract, carrier_contract},
};
use google_cloud_pubsub::model::Message;
use lapin::{
    BasicProperties,
    message::{BasicGetMessage, Delivery},
    types::{AMQPValue, DecimalValue, FieldArray, FieldTable},
};
use rdkafka::{
    Timestamp,
    message::{Header, OwnedHeaders, OwnedMessage},
    producer::{BaseRecord, FutureRecord},
};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{Publish, PublishProperties},
};
use std::mem;

// RabbitMQ.

fn values_that_are_not_text() -> Vec<AMQPValue> {
    let nested = FieldTable::from_iter_of([("traceparent", AMQPValue::LongString("00-nested".into()))]);
    vec![
        AMQPValue::Boolean(true),
        AMQPValue::ShortShortInt(-7),
        AMQPValue::ShortShortUInt(7),
        AMQPValue::ShortInt(-7),
        AMQPValue::ShortUInt(7),
        AMQPValue::LongInt(-7),
        AMQPValue::LongUInt(7),
        AMQPValue::LongLongInt(-7),
        AMQPValue::Float(0.5),
        AMQPValue::Double(0.5),
        AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 7 }),
        AMQPValue::LongString(vec![0xff].into()),
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::LongString("00-nested".into())])),
        AMQPValue::Timestamp(7),
        AMQPValue::FieldTable(nested),
        AMQPValue::ByteArray(vec![0xff].into()),
        AMQPValue::Void,
    ]
}

trait FromPairs {
    fn from_iter_of<const N: usize>(pairs: [(&str, AMQPValue); N]) -> Self;
}

impl FromPairs for FieldTable {
    fn from_iter_of<const N: usize>(pairs: [(&str, AMQPValue); N]) -> Self {
        let mut table = Self::default();
        for (key, value) in pairs {
            table.insert(key.into(), value);
        }
        table
    }
}

/// Every type of value, and keys in several cases, put into the table that is found by `table`.
fn amqp_contract<C: Carrier + 'static>(make: fn() -> C, put: fn(&mut C, &str, AMQPValue)) {
    let mut contract = CarrierContract::new(make);
    for value in values_that_are_not_text() {
        contract = contract.not_text(move |carrier, key| put(carrier, key, value.clone()));
    }
    contract.check();
}

fn put_property(properties: &mut BasicProperties, key: &str, value: AMQPValue) {
    let mut headers = properties.headers().clone().unwrap_or_default();
    headers.insert(key.into(), value);
    *properties = mem::take(properties).with_headers(headers);
}

fn delivery() -> Delivery {
    Delivery::mock(1, "".into(), "orders".into(), false, b"two apples".to_vec())
}

#[test]
fn field_table() {
    amqp_contract(FieldTable::default, |table, key, value| _ = table.insert(key.into(), value));
}

#[test]
fn basic_properties() {
    amqp_contract(BasicProperties::default, put_property);
}

#[test]
fn delivered() {
    amqp_contract(delivery, |delivery, key, value| put_property(&mut delivery.properties, key, value));
}

#[test]
fn got() {
    amqp_contract(
        || BasicGetMessage { delivery: delivery(), message_count: 0 },
        |message, key, value| put_property(&mut message.properties, key, value),
    );
}

#[test]
fn other_clients_texts_are_read_and_long_strings_are_written() {
    let mut table = FieldTable::from_iter_of([
        ("short", AMQPValue::ShortString("a".into())),
        ("bytes", AMQPValue::ByteArray(b"b".as_slice().into())),
    ]);
    assert_eq!(table.get_all("short").chain(table.get_all("bytes")).collect::<Vec<_>>(), ["a", "b"]);
    assert!(table.set("short", "c".into()));
    assert_eq!(table.inner()["short"], AMQPValue::LongString("c".into()));
}

#[test]
fn amqp_refuses_a_long_key() {
    let mut properties = BasicProperties::default();
    assert!(!properties.set(&"k".repeat(256), "1".into()));
    assert_eq!(*properties.headers(), None);
    assert!(properties.set(&"k".repeat(255), "1".into()));
}

/// It cannot be kept from the user: the connection ends before anyone sees the message.
#[test]
fn lapin_reads_no_key_that_is_not_utf8() {
    use lapin::types::parsing::parse_field_table;
    let table = |key: [u8; 1]| [&[0, 0, 0, 3, 1], key.as_slice(), b"V"].concat();
    assert!(parse_field_table(table(*b"k").as_slice()).is_ok());
    assert!(parse_field_table(table(*b"\xff").as_slice()).is_err());
}

// Kafka.

fn owned_message() -> OwnedMessage {
    OwnedMessage::new(Some(b"two apples".to_vec()), None, "orders".into(), Timestamp::NotAvailable, 0, 7, None)
}

fn insert(headers: Option<OwnedHeaders>, key: &str, value: Option<&[u8]>) -> OwnedHeaders {
    headers.unwrap_or_default().insert(Header { key, value })
}

/// Keys that repeat, values that are null or not UTF-8, put by `put`.
fn kafka_contract<C: Carrier>(make: impl Fn() -> C, put: impl Fn(&mut C, &str, Option<&[u8]>) + Copy) {
    CarrierContract::new(make)
        .repeats(|carrier, key, value| put(carrier, key, Some(value.as_bytes())))
        .not_text(|carrier, key| put(carrier, key, None))
        .not_text(|carrier, key| put(carrier, key, Some(b"\xc3\x28")))
        .check();
}

#[test]
fn owned_headers() {
    kafka_contract(OwnedHeaders::new, |headers, key, value| *headers = insert(Some(mem::take(headers)), key, value));
}

#[test]
fn owned() {
    kafka_contract(owned_message, |message, key, value| {
        let headers = message.detach_headers();
        *message = mem::replace(message, owned_message()).replace_headers(Some(insert(headers, key, value)));
    });
}

#[test]
fn future_record() {
    kafka_contract(
        || FutureRecord::<str, str>::to("orders"),
        |record, key, value| record.headers = Some(insert(record.headers.take(), key, value)),
    );
}

#[test]
fn base_record() {
    kafka_contract(
        || BaseRecord::<str, str>::to("orders"),
        |record, key, value| record.headers = Some(insert(record.headers.take(), key, value)),
    );
}

#[test]
fn kafka_refuses_a_key_that_would_be_cut() {
    let mut record = FutureRecord::<str, str>::to("orders");
    assert!(!record.set("trace\0parent", "1".into()));
    assert_eq!(record.keys().count(), 0);
}

#[test]
fn a_message_keeps_the_rest_of_itself() {
    use rdkafka::Message;
    let mut message = owned_message();
    message.set("traceparent", "1".into());
    message.remove("traceparent");
    assert_eq!((message.topic(), message.offset(), message.payload()), ("orders", 7, Some(b"two apples".as_slice())));
}

// NATS.

fn append(headers: &mut HeaderMap, key: &str, value: &str) {
    headers.append(HeaderName::try_from(key).unwrap(), value.parse::<HeaderValue>().unwrap());
}

fn nats_message() -> async_nats::Message {
    async_nats::Message {
        subject: "orders".into(),
        reply: None,
        payload: "two apples".into(),
        headers: None,
        status: None,
        description: None,
        length: 10,
    }
}

#[test]
fn header_map() {
    CarrierContract::new(HeaderMap::new).unordered().repeats(append).check();
}

#[test]
fn message() {
    CarrierContract::new(nats_message)
        .unordered()
        .repeats(|message, key, value| append(message.headers.get_or_insert_default(), key, value))
        .check();
}

#[test]
fn outbound_message() {
    let make = || jetstream::message::OutboundMessage::new("orders".into(), "two apples".into(), None);
    CarrierContract::new(make)
        .unordered()
        .repeats(|message, key, value| append(message.headers.get_or_insert_default(), key, value))
        .check();
    carrier_contract_of_the_core_outbound_message();
}

fn carrier_contract_of_the_core_outbound_message() {
    let make = || async_nats::message::OutboundMessage {
        subject: "orders".into(),
        reply: None,
        payload: "two apples".into(),
        headers: None,
    };
    CarrierContract::new(make).unordered().check();
}

#[test]
fn nats_refuses_what_would_panic() {
    let mut message = nats_message();
    for key in ["", "two words", "a:b", "é", "a\r\nb"] {
        // No name at all is a name for async-nats.
        assert_eq!(message.set(key, "1".into()), key.is_empty(), "{key:?}");
    }
    assert!(!message.set("traceparent", "1\r\nevil: 2".into()));
    assert_eq!(message.keys().collect::<Vec<_>>(), [""]);
}

// MQTT.

fn append_user_property(properties: &mut PublishProperties, key: &str, value: &str) {
    properties.user_properties.push((key.to_owned(), value.to_owned()));
}

#[test]
fn mqtt_properties() {
    CarrierContract::new(PublishProperties::default).repeats(append_user_property).check();
}

#[test]
fn mqtt_publish() {
    let make = || Publish::new("orders", QoS::AtLeastOnce, "two apples", None);
    let append = |publish: &mut Publish, key: &str, value: &str| {
        append_user_property(publish.properties.get_or_insert_default(), key, value);
    };
    CarrierContract::new(make).repeats(append).check();
}

#[test]
fn mqtt_opened() {
    let make = || Opened::from(rumqttc::Publish::new("orders", rumqttc::QoS::AtLeastOnce, "two apples"));
    CarrierContract::new(make).repeats(|opened, key, value| opened.headers.append(key.to_owned(), value)).check();
}

// Pub/Sub.

#[test]
fn pubsub_message() {
    CarrierContract::new(Message::new).check();
}

#[test]
fn all_of_them_are_carriers() {
    fn is_carrier<C: Carrier>() {}
    is_carrier::<lapin::message::BasicReturnMessage>();
    is_carrier::<rdkafka::message::BorrowedHeaders>();
    is_carrier::<rdkafka::message::BorrowedMessage<'_>>();
    is_carrier::<jetstream::Message>();
    carrier_contract(FieldTable::default);
}
