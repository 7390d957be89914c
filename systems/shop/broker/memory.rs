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

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, future::ready, sync::Mutex, time::Duration};

    use super::*;

    #[tokio::test]
    async fn what_is_in_the_queue_is_handled_after_the_shutdown_too() {
        const ORDERS: u16 = 100;
        let provider = SdkTracerProvider::builder().build();
        let mut queue = Queue::new(ORDERS);
        let (publisher, consumer) = (queue.publisher(&provider), queue.consumer(&provider));
        for number in 0..ORDERS {
            publisher.publish(&Order { id: number.to_string(), items: Vec::new() }).unwrap();
        }
        let (tried, handled) = (Mutex::new(HashSet::new()), Mutex::new(HashSet::new()));
        let handle = async |order: serde_json::Result<Order>| {
            tokio::task::yield_now().await;
            let id = order.unwrap().id;
            // The first attempt fails, and so each order goes back to the queue once.
            let again = tried.lock().unwrap().insert(id.clone());
            if again {
                return Err("once more".to_owned());
            }
            handled.lock().unwrap().insert(id);
            Ok(())
        };
        let policy = Policy::within(Duration::from_secs(10)).at_once(4).attempts(2);
        consumer.process_each(handle, policy, ready(())).await;
        assert_eq!(handled.into_inner().unwrap().len(), usize::from(ORDERS));
        publisher.publish(&Order { id: "late".to_owned(), items: Vec::new() }).expect_err("it is closed");
    }
}
