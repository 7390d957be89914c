//! The queue's deliveries in the consumer loop of [`messaging`](crate::messaging).

use std::{convert::Infallible, iter};

use opentelemetry::{KeyValue, trace::SpanContext};

use super::{Delivery, Message};
use crate::{
    carrier::{Carrier, by_field},
    conventions::TIME_IN_QUEUE,
    messaging::Delivered,
};

/// As a [`Carrier`], a delivery is its message's headers. It describes itself by its time in the queue.
impl<T> Carrier for Delivery<T> {
    by_field! { headers }

    fn describe(&self) -> impl Iterator<Item = KeyValue> {
        iter::once(KeyValue::new(TIME_IN_QUEUE, self.time_in_queue().as_secs_f64()))
    }
}

/// The handler gets a clone of the message, because the queue needs the message again if the handler fails. Where the payload is
/// big, or is no `Clone`, put it in an [`Arc`](std::sync::Arc).
impl<T: Clone> Delivered for Delivery<T> {
    type Message = Message<T>;
    type Error = Infallible;

    fn message(&mut self) -> Message<T> {
        (**self).clone()
    }

    fn delivery_count(&self) -> Option<u64> {
        Some(self.delivery_count())
    }

    fn attempt(&mut self, span: SpanContext) -> Option<SpanContext> {
        self.remember(span)
    }

    async fn ack(self) -> Result<(), Infallible> {
        self.ack();
        Ok(())
    }

    async fn retry(self) -> Result<(), Infallible> {
        self.retry();
        Ok(())
    }

    async fn reject(self) -> Result<(), Infallible> {
        self.reject();
        Ok(())
    }
}
