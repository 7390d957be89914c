//! MQTT 3.1.1, whose messages have no headers: they travel in an envelope around the payload.

use std::collections::VecDeque;

use ::rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, Publish, QoS, Request};
use opentelemetry::KeyValue;

use super::{
    delivery::{Client, Facts, sealed::Sealed},
    describe,
};
use crate::{
    carrier::{
        Carrier, Headers, by_field,
        envelope::{self, Flaw},
    },
    conventions::ENVELOPE_FLAW,
};

/// A message of MQTT 3.1.1 that was taken out of its [envelope](crate::carrier::envelope), if it had one.
///
/// As a carrier it is the envelope's headers. It describes what a message of version 5 does.
///
/// A message that begins like an envelope and goes on in another way is not lost: it has no headers, its payload is the whole, and
/// [`flaw`](Self::flaw) says what is wrong. The span says it, too. The handler may take such a payload for a plain one, or fail and
/// have it rejected.
///
/// # Examples
///
/// Without the consumer loop:
///
/// ```
/// use ctxhop::{clients::rumqttc_0_25::Opened, messaging::Destination};
/// use rumqttc::{AsyncClient, ClientError, Publish};
///
/// async fn receive(client: &AsyncClient, publish: Publish, orders: &Destination) -> Result<(), ClientError> {
///     let message = Opened::from(publish.clone());
///     orders.process(&message).run(|| println!("{} bytes", message.publish.payload.len()));
///     client.ack(&publish).await
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The message, with the payload that was in the envelope.
    pub publish: Publish,
    /// The envelope's headers; none if there was no envelope.
    pub headers: Headers,
    /// What is wrong with the envelope, if the payload only begins like one.
    pub flaw: Option<Flaw>,
}

impl From<Publish> for Opened {
    fn from(mut publish: Publish) -> Self {
        // To clone the payload copies nothing.
        let (headers, flaw) = match envelope::open(publish.payload.clone()) {
            Ok((headers, payload)) => {
                publish.payload = publish.payload.slice(payload.start()..);
                (headers, None)
            }
            Err(error) => (Headers::new(), Some(error.flaw())),
        };
        Self { publish, headers, flaw }
    }
}

impl Carrier for Opened {
    by_field! { headers }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        let Publish { qos, retain, dup, payload, .. } = &self.publish;
        let flaw = self.flaw.map(|flaw| KeyValue::new(ENVELOPE_FLAW, flaw.to_string()));
        describe(*qos as u8, *retain, *dup, payload.len()).chain(flaw)
    }
}

impl Sealed for AsyncClient {}

impl Client for AsyncClient {
    type Message = Opened;

    by_its_event_loop!();

    fn facts(message: &Opened) -> Facts<'_> {
        let Publish { topic, retain, dup, qos, .. } = &message.publish;
        Facts { topic: topic.into(), retained: *retain, duplicate: *dup, is_settled: *qos != QoS::AtMostOnce }
    }

    async fn acknowledge(&self, message: &Opened) -> bool {
        self.ack(&message.publish).await.is_ok()
    }
}
