use opentelemetry::{Context, KeyValue, trace::Link};

use super::Destination;
use crate::{
    Snapshot,
    carrier::Carrier,
    messaging::{Operation, action::Action, span::Start, target::Creation},
};

/// Sending.
impl Destination {
    /// Sends a message: a `PRODUCER` span, whose context goes into the message at this call.
    ///
    /// If the message has a creation context, by [`create`](Self::create) or by the user, the message keeps it. Then the
    /// span links to it, and the span's kind is `CLIENT`. So a message that is sent again, or forwarded, does not grow.
    ///
    /// The policies of this destination hold for what is sent on. With [`Trust::LinkOnly`](crate::Trust) the message gets the
    /// span's context, and the span links to the one that it had; with `Ignore` nothing of that stays. Of the baggage of a
    /// message that keeps its context, what [`BaggagePolicy`](crate::BaggagePolicy) lets pass stays.
    ///
    /// The span has what the message [describes](Carrier::describe).
    ///
    /// If there is no span, for instance because telemetry is suppressed, the current context goes into the message.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    ///
    /// # async fn publish(_: Headers, _: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn f() -> Result<(), std::io::Error> {
    /// let orders = Destination::new("rabbitmq", "orders");
    ///
    /// let mut headers = Headers::new();
    /// orders.send(&mut headers).message_id("17").run_async(|| publish(headers, "two apples")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, message: &mut impl Carrier) -> Operation {
        let ambient = Context::capture();
        let Creation { span, kept } = self.target.creation(message);
        let creates = !kept;
        let links = span.map_or_else(Vec::new, |span| vec![Link::with_context(span)]);
        let mut operation = self.start(Start { creates, ..Start::new(Action::Send, ambient, links) });
        if creates {
            self.target.telemetry().inject(operation.context(), message);
        }
        operation.describe(message);
        operation
    }

    /// Sends messages in one go: one span, with the number of messages.
    ///
    /// Messages that have a creation context keep it, and the span links to it; the others get the span's. To give each
    /// message its own, call [`create`](Self::create) for each before. If there are no messages, there is no span, and
    /// nothing is counted.
    pub fn send_batch<'a, C>(&self, messages: impl IntoIterator<Item = &'a mut C>) -> Operation
    where
        C: Carrier + 'a,
    {
        self.send_batch_with(messages, |_| [])
    }

    /// Like [`send_batch`](Self::send_batch), with attributes for each message that has a creation context: they go on its
    /// link.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    /// use opentelemetry::KeyValue;
    ///
    /// # let orders = Destination::new("rabbitmq", "orders");
    /// let mut batch = [("id", "17"), ("id", "18")].map(|header| Headers::from_iter([header]));
    /// for message in &mut batch {
    ///     orders.create(message).run(|| ());
    /// }
    /// orders
    ///     .send_batch_with(&mut batch, |message| {
    ///         message.get("id").map(|id| KeyValue::new("messaging.message.id", id.to_owned()))
    ///     })
    ///     .run(|| ());
    /// ```
    pub fn send_batch_with<'a, C, A>(
        &self,
        messages: impl IntoIterator<Item = &'a mut C>,
        mut attributes: impl FnMut(&C) -> A,
    ) -> Operation
    where
        C: Carrier + 'a,
        A: IntoIterator<Item = KeyValue>,
    {
        let ambient = Context::capture();
        let mut count = 0;
        let mut links = Vec::new();
        let mut bare = Vec::new();
        for message in messages {
            count += 1;
            let Creation { span, kept } = self.target.creation(message);
            links.extend(span.map(|span| Link::new(span, attributes(message).into_iter().collect(), 0)));
            if !kept {
                bare.push(message);
            }
        }
        if count == 0 {
            return self.none(Action::Send, ambient);
        }
        let start = Start { creates: !bare.is_empty(), batch: Some(count), ..Start::new(Action::Send, ambient, links) };
        let operation = self.start(start);
        for message in bare {
            self.target.telemetry().inject(operation.context(), message);
        }
        operation
    }

    /// Creates a message that is sent later, or in a batch: a `PRODUCER` span, whose context goes into the message at
    /// this call.
    ///
    /// If the message has a creation context, the message keeps it, and there is no span.
    pub fn create(&self, message: &mut impl Carrier) -> Operation {
        let ambient = Context::capture();
        let Creation { span, kept } = self.target.creation(message);
        if kept {
            return self.none(Action::Create, ambient);
        }
        let links = span.map_or_else(Vec::new, |span| vec![Link::with_context(span)]);
        let start = Start { creates: true, ..Start::new(Action::Create, ambient, links) };
        let mut operation = self.start(start);
        self.target.telemetry().inject(operation.context(), message);
        operation.describe(message);
        operation
    }
}
