use std::{collections::VecDeque, fmt};

use opentelemetry::trace::SpanContext;

use super::{
    Message,
    store::{self, Store},
};
use crate::messaging::{Destination, Settlement};

/// As many links as the SDK keeps of a span, unless it is told otherwise.
const LINKS: usize = 128;

/// What publishers, consumers and deliveries have in common.
pub(super) struct Shared<T> {
    pub(super) destination: Destination,
    pub(super) store: Store<Letter<T>>,
}

/// A message, with what the queue knows of it.
pub(super) struct Letter<T> {
    pub(super) message: Message<T>,
    /// The span of the latest attempt that did not settle it. Boxed because it is big and most messages have none.
    pub(super) attempt: Option<Box<SpanContext>>,
}

pub(super) type Envelope<T> = store::Envelope<Letter<T>>;

impl<T> Letter<T> {
    pub(super) const fn new(message: Message<T>) -> Self {
        Self { message, attempt: None }
    }
}

impl<T> Shared<T> {
    /// Takes a message back. If no consumer is left, the message is discarded.
    pub(super) fn put_back(&self, envelope: Envelope<T>) {
        if let Err(envelope) = self.store.put_back(envelope) {
            self.discard([envelope].into());
        }
    }

    /// Drops messages that nobody will ever receive. A span says so: it counts all of them and links to the first ones.
    ///
    /// The payloads are dropped in the context of that span. Reading each message's own context from its headers would take
    /// longer than to drop the message, and a consumer's destructor has to wait for this.
    pub(super) fn discard(&self, envelopes: VecDeque<Envelope<T>>) {
        if envelopes.is_empty() {
            return;
        }
        let linked = envelopes.iter().take(LINKS).map(|envelope| &envelope.message.message);
        let discard = self.destination.settle_batch(Settlement::Other("discard"), linked);
        let discard = discard.batch(envelopes.len() as u64);
        let _ = discard.error_type(|_: &&str| "no_consumer").run(|| {
            drop(envelopes);
            Err::<(), _>("no consumer is left")
        });
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("destination", &self.destination)
            .field("len", &self.store.len())
            .field("capacity", &self.store.capacity())
            .field("closed", &self.store.is_closed())
            .finish()
    }
}
