use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use async_channel::{Sender, TrySendError};
use opentelemetry::trace::SpanContext;

use super::Message;
use crate::messaging::{Destination, Settlement};

/// What publishers, consumers and deliveries have in common.
///
/// Messages go through a channel without a limit, so that one can always go back. The limit is in a channel of its own:
/// to publish puts a token there, which waits while it is full; the first delivery takes one out.
pub(super) struct Shared<T> {
    pub(super) destination: Destination,
    messages: Sender<Envelope<T>>,
    /// `None` if there is no limit.
    slots: Option<Sender<()>>,
    state: State,
}

/// A message in the queue.
pub(super) struct Envelope<T> {
    pub(super) message: Message<T>,
    /// So far; with none, the message holds a slot.
    pub(super) deliveries: u64,
    /// The span of the latest attempt to process it.
    pub(super) attempt: Option<SpanContext>,
    /// When it was put here, or back.
    pub(super) since: Instant,
}

impl<T> Shared<T> {
    pub(super) fn new(destination: Destination, messages: Sender<Envelope<T>>, slots: Option<Sender<()>>) -> Self {
        Self { destination, messages, slots, state: State::default() }
    }

    /// Waits for a slot.
    pub(super) async fn publish(&self, message: Message<T>, now: Instant) -> Result<(), Message<T>> {
        match self.try_publish(message, now) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(message),
            Err(TrySendError::Full(message)) => match &self.slots {
                Some(slots) if slots.send(()).await.is_err() => Err(message),
                _ => self.put(message, Instant::now()),
            },
        }
    }

    /// Blocks for a slot.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn publish_blocking(&self, message: Message<T>, now: Instant) -> Result<(), Message<T>> {
        match self.try_publish(message, now) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(message),
            Err(TrySendError::Full(message)) => match &self.slots {
                Some(slots) if slots.send_blocking(()).is_err() => Err(message),
                _ => self.put(message, Instant::now()),
            },
        }
    }

    /// `now` is passed on, as to ask for it takes longer.
    pub(super) fn try_publish(&self, message: Message<T>, now: Instant) -> Result<(), TrySendError<Message<T>>> {
        match self.slots.as_ref().map(|slots| slots.try_send(())) {
            // Marked as closed, and the slots not yet.
            Some(Err(TrySendError::Full(()))) if self.is_closed() => Err(TrySendError::Closed(message)),
            Some(Err(TrySendError::Full(()))) => Err(TrySendError::Full(message)),
            Some(Err(TrySendError::Closed(()))) => Err(TrySendError::Closed(message)),
            Some(Ok(())) | None => self.put(message, now).map_err(TrySendError::Closed),
        }
    }

    /// With a slot taken. That of a message that fails stays taken: the queue is closed, and has no use for it.
    fn put(&self, message: Message<T>, since: Instant) -> Result<(), Message<T>> {
        if !self.state.add() {
            self.settle();
            return Err(message);
        }
        let envelope = Envelope { message, deliveries: 0, attempt: None, since };
        // Fails for want of consumers only, and then nobody asks what is settled.
        self.messages.try_send(envelope).map_err(|error| error.into_inner().message)
    }

    /// Takes a message back. Fails for want of consumers only.
    pub(super) fn put_back(&self, envelope: Envelope<T>) {
        if let Err(error) = self.messages.try_send(Envelope { since: Instant::now(), ..envelope }) {
            self.discard(vec![error.into_inner()]);
        }
    }

    /// Drops messages that nobody will ever receive, and says so in a span that links to each of them.
    pub(super) fn discard(&self, envelopes: Vec<Envelope<T>>) {
        if envelopes.is_empty() {
            return;
        }
        let discard = self.destination.settle(Settlement::Other("discard")).batch(envelopes.len() as u64);
        let discard = envelopes.iter().fold(discard, |discard, envelope| discard.link_to(&envelope.message));
        let _ = discard.error_type(|_: &&str| "no_consumer").run(|| {
            drop(envelopes);
            Err::<(), _>("no consumer is left")
        });
    }

    /// A message is out of the queue for good.
    pub(super) fn settle(&self) {
        if self.state.remove() {
            self.messages.close();
        }
    }

    /// Returns whether it was open.
    pub(super) fn close(&self) -> bool {
        // First, as who is refused for want of slots may ask whether it is closed.
        let (was_open, drained) = self.state.close();
        if let Some(slots) = &self.slots {
            slots.close();
        }
        if drained {
            self.messages.close();
        }
        was_open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.slots.as_ref().and_then(Sender::capacity)
    }

    pub(super) fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("destination", &self.destination)
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// How many messages are not settled, and whether the queue is closed; in one number, so that of a message that comes
/// and a queue that closes each sees the other.
#[derive(Default)]
struct State(AtomicUsize);

const CLOSED: usize = 1;
const MESSAGE: usize = 2;

impl State {
    /// One more. Returns whether the queue is open; if not, it is to be removed again.
    fn add(&self) -> bool {
        self.0.fetch_add(MESSAGE, Ordering::AcqRel) & CLOSED == 0
    }

    /// One less. Returns whether that was the last one of a closed queue.
    fn remove(&self) -> bool {
        self.0.fetch_sub(MESSAGE, Ordering::AcqRel) == CLOSED + MESSAGE
    }

    /// Returns whether the queue was open, and whether it is drained.
    fn close(&self) -> (bool, bool) {
        let before = self.0.fetch_or(CLOSED, Ordering::AcqRel);
        (before & CLOSED == 0, before & !CLOSED == 0)
    }

    fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }
}
