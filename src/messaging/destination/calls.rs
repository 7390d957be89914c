use std::{sync::Arc, time::SystemTime};

use opentelemetry::{
    Context, KeyValue, global,
    trace::{Link, Span, SpanContext, TraceContextExt, Tracer},
};
use opentelemetry_semantic_conventions::attribute::MESSAGING_BATCH_MESSAGE_COUNT;

use super::{Destination, scope};
use crate::{
    Snapshot,
    carrier::{Carrier, Rejected},
    messaging::{
        Operation, Relation, Settlement,
        operation::{Action, Open, Started},
        relation::{Origin, valid},
    },
};

/// What is done with its messages.
impl Destination {
    /// Sends a message: a `PRODUCER` span, whose context goes into the message at this call.
    ///
    /// If the message has a creation context, by [`create`](Self::create) or by the user, it is kept as it is; the span
    /// links to it, and its kind is `CLIENT`. So a message that is sent again, or forwarded, does not grow.
    ///
    /// If no span is made, since telemetry is suppressed for instance, the context that is current here goes into the
    /// message.
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
        let creation = self.creation(message);
        let creates = creation.is_none();
        let links = creation.into_iter().map(Link::with_context).collect();
        let operation = self.start(Action::Send, creates, ambient, links, None, None);
        if creates {
            self.inject(operation.context(), message);
        }
        operation
    }

    /// Sends messages in one go: one span, with the number of messages.
    ///
    /// Messages that have a creation context keep it, and the span links to it; the others get the span's. If each is to
    /// have its own, call [`create`](Self::create) for each before. If there are no messages, there is no span, and
    /// nothing is counted.
    pub fn send_batch<'a, C>(&self, messages: impl IntoIterator<Item = &'a mut C>) -> Operation
    where
        C: Carrier + 'a,
    {
        self.send_batch_with(messages, |_| [])
    }

    /// As [`send_batch`](Self::send_batch), with what is to be said about each message that has a creation context.
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
            match self.creation(message) {
                Some(creation) => links.push(Link::new(creation, attributes(message).into_iter().collect(), 0)),
                None => bare.push(message),
            }
        }
        if count == 0 {
            return Operation::new(Open::none(self, Action::Send, ambient));
        }
        let operation = self.start(Action::Send, !bare.is_empty(), ambient, links, Some(count), None);
        for message in bare {
            self.inject(operation.context(), message);
        }
        operation
    }

    /// Creates a message that is sent later, or in a batch: a `PRODUCER` span, whose context goes into the message at
    /// this call.
    ///
    /// If the message has a creation context it is kept, and there is no span.
    pub fn create(&self, message: &mut impl Carrier) -> Operation {
        let ambient = Context::capture();
        if self.creation(message).is_some() {
            return Operation::new(Open::none(self, Action::Create, ambient));
        }
        let operation = self.start(Action::Create, true, ambient, Vec::new(), None, None);
        self.inject(operation.context(), message);
        operation
    }

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

    /// As [`receive`](Self::receive), with the time at which the messages were asked for, and with what is to be said
    /// about each of them, on its link.
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
            return Operation::new(Open::none(self, Action::Receive, ambient));
        }
        self.start(Action::Receive, false, ambient, links, Some(count), Some(since))
    }

    /// Processes a message: a `CONSUMER` span, whose parent is chosen by [`Relation`] and
    /// [`Trust`](crate::messaging::Trust), with a link to the message's creation context.
    ///
    /// # What is current in the handler
    ///
    /// - A child of the message: what the message brought, and nothing of what is current here.
    /// - A child of the span that is current here: all that is current here, and the message's baggage. Of two members
    ///   of one name ours stays.
    /// - A new root: the message's baggage, and nothing else.
    ///
    /// Headers that are no use are an event, `ctxhop.context_rejected`, on the span.
    ///
    /// # Examples
    ///
    /// A reply, or whatever else is sent from a handler, is in the trace of the message:
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
    pub fn process(&self, message: &impl Carrier) -> Operation {
        let ambient = Context::capture();
        let shared = &*self.shared;
        let (said, rejected) = self.read(message);
        let origin = Origin::new(ambient, shared.baggage.apply(said), shared.relation, shared.trust);
        let operation = self.start(Action::Process, false, origin.base, origin.links, None, None);
        operation.add_rejected(rejected);
        operation
    }

    /// Processes messages in one go, by a handler that takes them all at once: one `CONSUMER` span, with a link to each
    /// message that has a creation context, and the number of messages.
    ///
    /// Many messages have no common parent, so that the span is a child of what is current here, or a new root, whatever
    /// [`Relation`] says; and in the handler, all of what is current here is current, or nothing, and no message's
    /// baggage. If the messages are handled one by one, call [`process`](Self::process) for each.
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

    /// As [`process_batch`](Self::process_batch), with what is to be said about each message that has a creation
    /// context.
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
            return Operation::new(Open::none(self, Action::Process, ambient));
        }
        // The links are all that the messages give: none is the parent, none brings its baggage.
        let origin = Origin::new(ambient, Context::new(), Relation::Link, self.shared.trust);
        let operation = self.start(Action::Process, false, origin.base, links, Some(count), None);
        operation.add_rejected(rejected);
        operation
    }

    /// Tells the broker what has become of one message or many: a `CLIENT` span, named after the settlement.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::{Destination, Settlement}};
    ///
    /// # async fn ack() -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn f() -> Result<(), std::io::Error> {
    /// # let (orders, message) = (Destination::new("rabbitmq", "orders"), Headers::new());
    /// orders.settle(Settlement::Ack).link_to(&message).run_async(ack).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle(&self, settlement: Settlement) -> Operation {
        let ambient = Context::capture();
        self.start(Action::Settle(settlement), false, ambient, Vec::new(), None, None)
    }

    /// The creation context of a message that is about to be sent, if it has one. Mostly it has not even headers.
    fn creation(&self, message: &impl Carrier) -> Option<SpanContext> {
        message.keys().next()?;
        valid(&self.extract(message))
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
            let (said, rejected) = self.read(message);
            batch.rejected.extend(rejected);
            if let Some(creation) = valid(&said) {
                batch.links.push(Link::new(creation, attributes(message).into_iter().collect(), 0));
            }
        }
        batch
    }

    /// `creates`: the span's context is to be a creation context. `since`: when the operation began, if not now.
    fn start(
        &self,
        action: Action,
        creates: bool,
        base: Context,
        links: Vec<Link>,
        batch: Option<u64>,
        since: Option<SystemTime>,
    ) -> Operation {
        let started = Started::new(since);
        let tracer = self.shared.tracer.get_or_init(|| Arc::new(global::tracer_with_scope(scope())));
        let mut attributes = self.span_attributes(&action);
        attributes.extend(batch.map(|count| KeyValue::new(MESSAGING_BATCH_MESSAGE_COUNT, count as i64)));
        let builder = tracer
            .span_builder(self.span_name(&action))
            .with_kind(action.kind(creates))
            .with_start_time(started.time)
            .with_attributes(attributes)
            .with_links(links);
        let measured = !base.is_telemetry_suppressed();
        let span = tracer.build_with_context(builder, &base);
        // A span that is none must not take the place of the outer one: the context would stop flowing. A no-op tracer's
        // span has the parent's span context.
        let own =
            span.span_context().is_valid() && span.span_context().span_id() != base.span().span_context().span_id();
        let context = if own { base.with_span(span) } else { base };
        Operation::new(Open::new(self, action, context, own, measured, started, batch.unwrap_or(1)))
    }
}

/// What many messages say of their origins.
struct Batch {
    count: u64,
    links: Vec<Link>,
    rejected: Vec<Rejected>,
}
