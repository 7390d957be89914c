#[cfg(feature = "queue")]
use std::time::Instant;
use std::time::SystemTime;

use opentelemetry::{Context, KeyValue, trace::Link};

use super::Destination;
use crate::{
    Snapshot,
    carrier::{Carrier, Rejected},
    messaging::{
        Delivered, Operation, Settlement,
        action::Action,
        relation::{Origin, valid},
        span::Start,
    },
    trail,
};

/// Receiving, processing and settling.
impl Destination {
    /// Receives messages that this program has asked for: one `CLIENT` span, with a link to each message that has a
    /// creation context, and the number of messages.
    ///
    /// If there are no messages, there is no span, and nothing is counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    ///
    /// # fn handle(_: &Headers) -> Result<(), std::io::Error> { Ok(()) }
    /// let orders = Destination::new("rabbitmq", "orders");
    ///
    /// let batch = vec![Headers::new(), Headers::new()];
    /// orders.receive(&batch).run(|| {
    ///     for message in &batch {
    ///         orders.process(message).after_receive().run(|| handle(message)).ok();
    ///     }
    /// });
    /// ```
    pub fn receive<'a, C>(&self, messages: impl IntoIterator<Item = &'a C>) -> Operation
    where
        C: Carrier + 'a,
    {
        self.receive_with(SystemTime::now(), messages, |_| [])
    }

    /// Like [`receive`](Self::receive), with the time at which this program asked for the messages, and with attributes for
    /// each message that has a creation context: they go on its link.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    /// use opentelemetry::KeyValue;
    /// use std::time::SystemTime;
    ///
    /// # fn poll() -> Vec<Headers> { Vec::new() }
    /// # let orders = Destination::new("rabbitmq", "orders");
    /// let asked = SystemTime::now();
    /// let batch = poll();
    /// orders
    ///     .receive_with(asked, &batch, |message| {
    ///         message.get("id").map(|id| KeyValue::new("messaging.message.id", id.to_owned()))
    ///     })
    ///     .run(|| ());
    /// ```
    pub fn receive_with<'a, C, A>(
        &self,
        since: SystemTime,
        messages: impl IntoIterator<Item = &'a C>,
        attributes: impl FnMut(&'a C) -> A,
    ) -> Operation
    where
        C: Carrier + 'a,
        A: IntoIterator<Item = KeyValue>,
    {
        let ambient = Context::capture();
        let Batch { count, links, .. } = self.read_batch(messages, attributes);
        if count == 0 {
            return self.none(Action::Receive, ambient);
        }
        self.start(Start { batch: Some(count), since: Some(since), ..Start::new(Action::Receive, ambient, links) })
    }

    /// Processes a message: a `CONSUMER` span, with a link to the message's creation context. Its parent is chosen by
    /// [`Relation`](crate::messaging::Relation) and [`Trust`](crate::Trust).
    ///
    /// # What is current in the handler
    ///
    /// - If the span is a child of the message: what the message brought, and nothing of the current context.
    /// - If it is a child of the current span: the current context, and the message's baggage. Of two members with one name
    ///   ours stays.
    /// - If it is a new root: the message's baggage, and nothing else.
    ///
    /// The span has what the message [describes](Carrier::describe). Headers that cannot be read are an event,
    /// `ctxhop.context_rejected`, on the span.
    ///
    /// # Examples
    ///
    /// A reply, or whatever else a handler sends, is in the trace of the message:
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination, propagation::TraceContextPropagator, testing::TraceRecorder};
    ///
    /// let recorder = TraceRecorder::new();
    /// let orders = Destination::new("rabbitmq", "orders")
    ///     .with_tracer_provider(recorder.provider())
    ///     .with_propagator(TraceContextPropagator::new());
    /// let invoices = Destination::new("rabbitmq", "invoices").with_tracer_provider(recorder.provider());
    ///
    /// let mut message = Headers::new();
    /// orders.send(&mut message).run(|| ());
    /// // … elsewhere …
    /// orders.process(&message).run(|| invoices.send(&mut Headers::new()).run(|| ()));
    ///
    /// assert_eq!(recorder.tree().display().durations(false).to_string(), "\
    /// send orders [producer]
    /// └─ process orders [consumer] ~> send orders
    ///    └─ send invoices [producer]");
    /// ```
    #[track_caller]
    pub fn process(&self, message: &impl Carrier) -> Operation {
        trail::received("process");
        self.process_at(message, None)
    }

    /// Like [`process`](Self::process), for a message of which you know how many times it was delivered, this time
    /// included. The span has the number from its start, so that samplers see it.
    pub fn process_attempt(&self, message: &impl Carrier, delivery_count: u64) -> Operation {
        self.process_at(message, Some(delivery_count))
    }

    /// As [`process_attempt`](Self::process_attempt), for a message that has been in our queue since then.
    #[cfg(feature = "queue")]
    pub(crate) fn process_queued(&self, message: &impl Carrier, delivery_count: u64, since: Instant) -> Operation {
        let (origin, rejected) = self.target.origin(Context::capture(), message);
        let start = Start::new(Action::Process, origin.base, origin.links);
        let operation = self.start(Start { delivery_count: Some(delivery_count), queued: Some(since), ..start });
        operation.add_rejected(rejected);
        operation
    }

    /// Like [`process`](Self::process), with all that the delivery tells, and with where its settlement belongs.
    pub(in crate::messaging) fn process_delivered(&self, delivery: &mut impl Delivered) -> (Operation, Origin) {
        let (origin, rejected) = self.target.origin(Context::capture(), &*delivery);
        let operation = self.process_in(origin.clone(), rejected, &*delivery, delivery.delivery_count());
        operation.link_attempt(|attempt| delivery.attempt(attempt));
        (operation, origin)
    }

    fn process_at(&self, message: &impl Carrier, delivery_count: Option<u64>) -> Operation {
        let (origin, rejected) = self.target.origin(Context::capture(), message);
        self.process_in(origin, rejected, message, delivery_count)
    }

    fn process_in(
        &self,
        origin: Origin,
        rejected: Option<Rejected>,
        message: &impl Carrier,
        delivery_count: Option<u64>,
    ) -> Operation {
        let start = Start::new(Action::Process, origin.base, origin.links);
        let mut operation = self.start(Start { delivery_count, ..start });
        operation.add_rejected(rejected);
        operation.describe(message);
        operation
    }

    /// Processes messages in one go, by a handler that takes them all at once: one `CONSUMER` span, with a link to each
    /// message that has a creation context, and the number of messages.
    ///
    /// Many messages have no common parent. So the span is a child of the current span, or a new root, whatever
    /// [`Relation`](crate::messaging::Relation) says. The handler sees the current context, or an empty one for a new
    /// root, and no message's baggage. If the handler takes the messages one by one, call [`process`](Self::process) for
    /// each.
    ///
    /// If there are no messages, there is no span, and nothing is counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    ///
    /// # fn insert_all(_: &[Headers]) -> Result<(), std::io::Error> { Ok(()) }
    /// # fn poll() -> Vec<Headers> { Vec::new() }
    /// # let orders = Destination::new("kafka", "orders");
    /// let batch = poll();
    /// orders.process_batch(&batch).run(|| insert_all(&batch))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn process_batch<'a, C>(&self, messages: impl IntoIterator<Item = &'a C>) -> Operation
    where
        C: Carrier + 'a,
    {
        self.process_batch_with(messages, |_| [])
    }

    /// Like [`process_batch`](Self::process_batch), with attributes for each message that has a creation context: they go
    /// on its link.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    /// use opentelemetry::KeyValue;
    ///
    /// # let orders = Destination::new("kafka", "orders");
    /// # let batch = [Headers::from_iter([("offset", "42")])];
    /// orders
    ///     .process_batch_with(&batch, |message| {
    ///         message.get("offset").map(|offset| KeyValue::new("messaging.kafka.offset", offset.to_owned()))
    ///     })
    ///     .run(|| ());
    /// ```
    pub fn process_batch_with<'a, C, A>(
        &self,
        messages: impl IntoIterator<Item = &'a C>,
        attributes: impl FnMut(&'a C) -> A,
    ) -> Operation
    where
        C: Carrier + 'a,
        A: IntoIterator<Item = KeyValue>,
    {
        let ambient = Context::capture();
        let Batch { count, links, rejected } = self.read_batch(messages, attributes);
        if count == 0 {
            return self.none(Action::Process, ambient);
        }
        let base = Origin::without_message(ambient).base;
        let operation = self.start(Start { batch: Some(count), ..Start::new(Action::Process, base, links) });
        operation.add_rejected(rejected);
        operation
    }

    /// Tells the broker what became of a message: a `CLIENT` span, named after the settlement.
    ///
    /// The span belongs where the message's [`process`](Self::process) does: its parent is chosen by
    /// [`Relation`](crate::messaging::Relation), and it links to the message. So call it where you called `process`, not
    /// in the handler.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::{Destination, Settlement}};
    ///
    /// # async fn ack() -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn f() -> Result<(), std::io::Error> {
    /// # let (orders, message) = (Destination::new("rabbitmq", "orders"), Headers::new());
    /// orders.settle(Settlement::Ack, &message).run_async(ack).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle(&self, settlement: Settlement, message: &impl Carrier) -> Operation {
        self.settle_at(self.target.origin(Context::capture(), message).0, settlement)
    }

    pub(in crate::messaging) fn settle_at(&self, origin: Origin, settlement: Settlement) -> Operation {
        self.start(Start::new(Action::Settle(settlement), origin.base, origin.links))
    }

    /// Settles many messages in one go, as a commit of offsets does: one `CLIENT` span, with a link to each message that
    /// has a creation context, and the number of messages.
    ///
    /// As for [`process_batch`](Self::process_batch), no message is the parent; and if there are no messages, there is no
    /// span, and nothing is counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::{Destination, Settlement}};
    ///
    /// # fn commit() -> Result<(), std::io::Error> { Ok(()) }
    /// # let (orders, batch) = (Destination::new("kafka", "orders"), [Headers::new()]);
    /// orders.settle_batch(Settlement::Other("commit"), &batch).run(commit)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn settle_batch<'a, C>(&self, settlement: Settlement, messages: impl IntoIterator<Item = &'a C>) -> Operation
    where
        C: Carrier + 'a,
    {
        let ambient = Context::capture();
        let action = Action::Settle(settlement);
        let Batch { count, links, .. } = self.read_batch(messages, |_| []);
        if count == 0 {
            return self.none(action, ambient);
        }
        // The number is not there from the start, so that it can be corrected: of very many messages only some are linked.
        self.start(Start::new(action, Origin::without_message(ambient).base, links)).batch(count)
    }

    fn read_batch<'a, C, A>(
        &self,
        messages: impl IntoIterator<Item = &'a C>,
        mut attributes: impl FnMut(&'a C) -> A,
    ) -> Batch
    where
        C: Carrier + 'a,
        A: IntoIterator<Item = KeyValue>,
    {
        let mut batch = Batch { count: 0, links: Vec::new(), rejected: Vec::new() };
        for message in messages {
            batch.count += 1;
            let (said, rejected) = self.target.read(message);
            batch.rejected.extend(rejected);
            if let Some(creation) = valid(&said) {
                batch.links.push(Link::new(creation, attributes(message).into_iter().collect(), 0));
            }
        }
        batch
    }
}

/// What many messages say of their origins.
struct Batch {
    count: u64,
    links: Vec<Link>,
    rejected: Vec<Rejected>,
}
