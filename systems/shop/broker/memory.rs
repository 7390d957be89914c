//! A queue of this process. Each end is described by the service that has it, so that its spans are that service's.

use std::pin::pin;

use ctxhop::{
    messaging::{Destination, Policy, Tally},
    queue::{self, TryPublishError},
};
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::PublishError;
use crate::api::{Order, PROCESSED};

pub(crate) struct Queue {
    limit: u16,
    consumer: Option<queue::Consumer<Order>>,
}

impl Queue {
    pub(super) const fn new(limit: u16) -> Self {
        Self { limit, consumer: None }
    }

    pub(super) fn publisher(&mut self, provider: &SdkTracerProvider) -> Publisher {
        let (publisher, consumer) = queue::bounded(destination(provider), self.limit.into());
        self.consumer = Some(consumer.clone());
        Publisher { publisher, _consumer: consumer }
    }

    pub(super) fn consumer(&mut self, provider: &SdkTracerProvider) -> Consumer {
        // Without a checkout in this process nothing will ever come.
        let consumer = self.consumer.take().unwrap_or_else(|| queue::unbounded(destination(provider)).1);
        Consumer { consumer, destination: destination(provider) }
    }
}

fn destination(provider: &SdkTracerProvider) -> Destination {
    Destination::in_memory(PROCESSED).with_tracer_provider(provider)
}

pub(crate) struct Publisher {
    publisher: queue::Publisher<Order>,
    /// Keeps the queue also without a stock in this process.
    _consumer: queue::Consumer<Order>,
}

impl Publisher {
    pub(super) fn publish(&self, order: &Order) -> Result<(), PublishError> {
        self.publisher.try_publish(order.clone()).map_err(|error| match error {
            TryPublishError::Full(_) => PublishError::Full,
            error => PublishError::Failed(error.to_string()),
        })
    }
}

pub(crate) struct Consumer {
    consumer: queue::Consumer<Order>,
    destination: Destination,
}

impl Consumer {
    pub(super) async fn process_each<F, L, W>(
        self,
        handle: impl Fn(serde_json::Result<Order>) -> F,
        policy: Policy<L>,
        shutdown: impl Future<Output = ()>,
    ) -> Tally
    where
        F: Future<Output = Result<(), String>>,
        L: Fn() -> W,
        W: Future,
    {
        let handle = |message: queue::Message<Order>| handle(Ok(message.payload));
        let queue = self.consumer.clone();
        let mut processing = pin!(self.destination.process_each(self.consumer, handle, policy));
        tokio::select! {
            tally = &mut processing => tally,
            () = shutdown => {
                // So it ends when the queue is empty.
                queue.close();
                processing.await
            }
        }
    }
}
