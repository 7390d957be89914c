//! The two ends of what is between checkout and stock: a queue of this process, or RabbitMQ.

mod memory;
mod rabbitmq;

use std::{fmt, result};

use ctxhop::messaging::{Policy, Tally};
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::{Result, api::Order};

/// Where to get the two ends.
pub(crate) enum Broker {
    Memory(memory::Queue),
    RabbitMq(rabbitmq::Settings),
}

impl Broker {
    /// `url`: none for a queue of this process. `limit`: how many orders wait for the stock at most.
    pub(crate) fn new(url: Option<&str>, exchange: &str, limit: u16) -> Result<Self, String> {
        match url {
            None => Ok(Self::Memory(memory::Queue::new(limit))),
            Some(url) if url.starts_with("amqp://") => {
                rabbitmq::Settings::new(url, exchange, limit).map(Self::RabbitMq)
            }
            // Without what follows the scheme, which may have a password.
            Some(url) => Err(match url.split_once("://") {
                Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                    format!("the broker has to be amqp://…, and not {scheme}://…")
                }
                _ => "the broker has to be amqp://…".to_owned(),
            }),
        }
    }

    pub(crate) async fn publisher(&mut self, provider: &SdkTracerProvider) -> Result<Publisher, String> {
        match self {
            Self::Memory(queue) => Ok(Publisher::Memory(queue.publisher(provider))),
            Self::RabbitMq(settings) => {
                Ok(Publisher::RabbitMq(Box::new(rabbitmq::publisher(settings, provider).await?)))
            }
        }
    }

    pub(crate) async fn consumer(&mut self, provider: &SdkTracerProvider) -> Result<Consumer, String> {
        match self {
            Self::Memory(queue) => Ok(Consumer::Memory(queue.consumer(provider))),
            Self::RabbitMq(settings) => Ok(Consumer::RabbitMq(Box::new(rabbitmq::consumer(settings, provider).await?))),
        }
    }
}

pub(crate) enum Publisher {
    Memory(memory::Publisher),
    RabbitMq(Box<rabbitmq::Publisher>),
}

impl Publisher {
    /// Returns when the broker has the order.
    pub(crate) async fn publish(&self, order: &Order) -> result::Result<(), PublishError> {
        match self {
            Self::Memory(publisher) => publisher.publish(order),
            Self::RabbitMq(publisher) => publisher.publish(order).await,
        }
    }
}

/// An order that was not published.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// The stock has too many of them.
    Full,
    Failed(String),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

pub(crate) enum Consumer {
    Memory(memory::Consumer),
    RabbitMq(Box<rabbitmq::Consumer>),
}

impl Consumer {
    /// Handles each order until `shutdown`. Then a queue of this process is closed, and the orders that are in it are handled, too,
    /// because nobody else will; a broker keeps its own.
    pub(crate) async fn process_each<F, L, W>(
        self,
        handle: impl Fn(serde_json::Result<Order>) -> F,
        policy: Policy<L>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Tally>
    where
        F: Future<Output = result::Result<(), String>>,
        L: Fn() -> W,
        W: Future,
    {
        match self {
            Self::Memory(consumer) => Ok(consumer.process_each(handle, policy, shutdown).await),
            Self::RabbitMq(consumer) => Ok(consumer.process_each(handle, policy, shutdown).await?),
        }
    }
}
