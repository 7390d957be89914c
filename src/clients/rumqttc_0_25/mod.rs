#![doc = include_str!("../rumqttc_0_25.md")]

/// What a [`Client`](delivery::Client) does with its event loop: the same for both versions, whose types have the same names.
macro_rules! by_its_event_loop {
    () => {
        type EventLoop = EventLoop;
        type Event = Event;
        type Error = ConnectionError;

        fn acknowledges_by_hand(eventloop: &EventLoop) -> bool {
            eventloop.state.manual_acks
        }

        async fn poll(eventloop: &mut EventLoop) -> Result<Event, ConnectionError> {
            eventloop.poll().await
        }

        fn events(eventloop: &mut EventLoop) -> &mut VecDeque<Event> {
            &mut eventloop.state.events
        }

        fn drop_acknowledgements(eventloop: &mut EventLoop) {
            // It drops each `PubAck`, and keeps each `PubRec`.
            eventloop.clean();
            eventloop.pending.retain(|request| !matches!(request, Request::PubRec(_)));
        }

        fn message(event: Event) -> Result<Self::Message, Event> {
            match event {
                Event::Incoming(Incoming::Publish(publish)) => Ok(publish.into()),
                other => Err(other),
            }
        }
    };
}

mod delivery;
mod opened;

use std::{collections::VecDeque, str::from_utf8};

use ::rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, Request,
    mqttbytes::{
        QoS,
        v5::{Publish, PublishProperties},
    },
};
use delivery::{Facts, sealed::Sealed};
use opentelemetry::KeyValue;

use crate::{
    carrier::{Carrier, by_field, is_line},
    conventions::{
        MESSAGING_MESSAGE_BODY_SIZE, MESSAGING_MESSAGE_CONVERSATION_ID, MQTT_DUPLICATE, MQTT_QOS, MQTT_RETAINED,
    },
};

pub use delivery::{Client, Deliveries, Delivery, Inbox, SettleError, deliveries};
pub use opened::Opened;

/// The user properties. A key or a value that MQTT has no room for is refused: more than 65,535 bytes, a control character,
/// a non-character. They describe the correlation data, if it is text.
impl Carrier for PublishProperties {
    fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.user_properties.get_all(key)
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.user_properties.keys()
    }

    fn set(&mut self, key: &str, value: String) -> bool {
        is_mqtt_text(key) && is_mqtt_text(&value) && self.user_properties.set(key, value)
    }

    fn remove(&mut self, key: &str) {
        Carrier::remove(&mut self.user_properties, key);
    }

    fn room(&self, _key: &str) -> usize {
        MAX_TEXT
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let conversation = self.correlation_data.as_ref().and_then(|data| from_utf8(data).ok());
        conversation.map(|id| KeyValue::new(MESSAGING_MESSAGE_CONVERSATION_ID, id.to_owned())).into_iter()
    }
}

const MAX_TEXT: usize = u16::MAX as usize;

/// Whether brokers take it for text. rumqttc checks nothing: it cuts a length that is too big, and a broker closes the
/// connection on a control character, each time that the message is sent again.
fn is_mqtt_text(text: &str) -> bool {
    let is_non_character = |char| matches!(u32::from(char), 0xfdd0..=0xfdef) || u32::from(char) & 0xfffe == 0xfffe;
    text.len() <= MAX_TEXT && is_line(text) && !text.chars().any(|char| char.is_control() || is_non_character(char))
}

/// Its user properties. It describes what its properties do, its size and quality of service, and whether it was retained or
/// may be a duplicate.
impl Carrier for Publish {
    by_field! { properties or default }

    fn room(&self, _key: &str) -> usize {
        MAX_TEXT
    }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        self.properties.describe().chain(describe(self.qos as u8, self.retain, self.dup, self.payload.len()))
    }
}

/// What both versions' messages tell.
fn describe(qos: u8, retained: bool, duplicate: bool, size: usize) -> impl Iterator<Item = KeyValue> {
    let own = [
        KeyValue::new(MQTT_QOS, i64::from(qos)),
        KeyValue::new(MESSAGING_MESSAGE_BODY_SIZE, i64::try_from(size).unwrap_or(i64::MAX)),
    ];
    let retained = retained.then(|| KeyValue::new(MQTT_RETAINED, true));
    own.into_iter().chain(retained).chain(duplicate.then(|| KeyValue::new(MQTT_DUPLICATE, true)))
}

impl Sealed for AsyncClient {}

impl Client for AsyncClient {
    type Message = Publish;

    by_its_event_loop!();

    fn facts(message: &Publish) -> Facts<'_> {
        Facts {
            topic: String::from_utf8_lossy(&message.topic),
            retained: message.retain,
            duplicate: message.dup,
            is_settled: message.qos != QoS::AtMostOnce,
        }
    }

    async fn acknowledge(&self, message: &Publish) -> bool {
        self.ack(message).await.is_ok()
    }
}
