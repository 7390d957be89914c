use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, StringValue,
    global::{self, BoxedTracer},
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Link, Span, SpanContext, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_semantic_conventions::{
    SCHEMA_URL,
    attribute::{
        ERROR_TYPE, MESSAGING_BATCH_MESSAGE_COUNT, MESSAGING_CLIENT_ID, MESSAGING_CONSUMER_GROUP_NAME,
        MESSAGING_DESTINATION_ANONYMOUS, MESSAGING_DESTINATION_NAME, MESSAGING_DESTINATION_PARTITION_ID,
        MESSAGING_DESTINATION_SUBSCRIPTION_NAME, MESSAGING_DESTINATION_TEMPLATE, MESSAGING_DESTINATION_TEMPORARY,
        MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE, MESSAGING_SYSTEM, SERVER_ADDRESS, SERVER_PORT,
    },
};

use super::{
    BaggagePolicy, Failure, Operation, Relation, Settlement, Trust,
    metrics::Metrics,
    operation::{Action, Open, Started},
    relation::{Origin, valid},
};
use crate::{
    Snapshot,
    carrier::{self, Carrier},
};

/// The system of queues in this process.
pub(super) const IN_MEMORY: &str = "in_memory";

/// A queue or topic, described once, and what is done with its messages.
///
/// Each of [`send`](Self::send), [`create`](Self::create), [`receive`](Self::receive), [`process`](Self::process) and
/// [`settle`](Self::settle) starts a span at the call and gives an [`Operation`], to [`run`](Operation::run) the work
/// in. What is named `…_batch` is one operation on many messages, and what is named `…_with` takes what is to be said
/// about each of them, which goes on its link.
///
/// To clone it is cheap, and an operation keeps a clone: make one destination for each queue and keep it. The tracer
/// and the instruments are looked up at its first operation, from the global providers unless
/// [it has its own](Self::with_tracer_provider): install those first.
///
/// # Examples
///
/// ```
/// use ctxhop::messaging::Destination;
///
/// let orders = Destination::new("rabbitmq", "orders").server("broker.example.com", 5672);
/// let reply = Destination::new("rabbitmq", "amq.gen-JzTY20BRgKO-HjmUJj0wLg").anonymous().temporary();
/// let customer = Destination::new("kafka", "customers.4711").template("customers.{id}").consumer_group("billing");
/// ```
#[derive(Clone)]
pub struct Destination {
    shared: Arc<Shared>,
    /// What its operations are called, if not after their type.
    operation_name: Option<&'static str>,
}

#[derive(Clone)]
struct Shared {
    system: StringValue,
    name: StringValue,
    template: Option<StringValue>,
    anonymous: bool,
    temporary: bool,
    partition: Option<StringValue>,
    consumer_group: Option<StringValue>,
    subscription: Option<StringValue>,
    server: Option<(StringValue, Option<u16>)>,
    client_id: Option<StringValue>,
    relation: Relation,
    trust: Trust,
    baggage: BaggagePolicy,
    tracer: OnceLock<Arc<BoxedTracer>>,
    metrics: OnceLock<Metrics>,
    /// The global one, if `None`.
    propagator: Option<Arc<dyn TextMapPropagator + Send + Sync>>,
    /// The attributes of metrics, as they are mostly: of a send, and of a process.
    usual: [OnceLock<Vec<KeyValue>>; 2],
}

/// What it is.
impl Destination {
    /// The queue or topic `name` of a messaging system.
    ///
    /// The conventions have names for the systems: `kafka`, `rabbitmq`, `aws_sqs`, `gcp_pubsub`, `servicebus`, `pulsar`
    /// …
    #[must_use]
    pub fn new(system: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self::of(system.into().into(), name)
    }

    fn of(system: StringValue, name: impl Into<Arc<str>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                system,
                name: name.into().into(),
                template: None,
                anonymous: false,
                temporary: false,
                partition: None,
                consumer_group: None,
                subscription: None,
                server: None,
                client_id: None,
                relation: Relation::default(),
                trust: Trust::default(),
                baggage: BaggagePolicy::default(),
                tracer: OnceLock::new(),
                metrics: OnceLock::new(),
                propagator: None,
                usual: Default::default(),
            }),
            operation_name: None,
        }
    }

    /// A queue of this process: the messaging system is `in_memory`.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::messaging::Destination;
    ///
    /// let orders = Destination::in_memory("orders");
    /// ```
    #[must_use]
    pub fn in_memory(name: impl Into<Arc<str>>) -> Self {
        Self::of(IN_MEMORY.into(), name)
    }

    /// What the name is made from, when there are many: `/customers/{id}`. Spans and metrics are named after it, not
    /// after the name.
    #[must_use]
    pub fn template(self, template: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.template = Some(template.into().into()))
    }

    /// It has no name, or one that the broker made up. Spans and metrics are not named after it.
    #[must_use]
    pub fn anonymous(self) -> Self {
        self.with(|shared| shared.anonymous = true)
    }

    /// It may be gone once its messages are processed. Spans and metrics are not named after it.
    #[must_use]
    pub fn temporary(self) -> Self {
        self.with(|shared| shared.temporary = true)
    }

    /// The only partition that is sent to or received from. For those that differ from message to message there is
    /// [`Operation::partition`].
    #[must_use]
    pub fn partition(self, id: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.partition = Some(id.into().into()))
    }

    /// The consumer group that this program receives, processes and settles for.
    #[must_use]
    pub fn consumer_group(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.consumer_group = Some(name.into().into()))
    }

    /// The subscription that this program receives, processes and settles for.
    #[must_use]
    pub fn subscription(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.subscription = Some(name.into().into()))
    }

    /// The broker's name or address, and its port.
    #[must_use]
    pub fn server(self, address: impl Into<Arc<str>>, port: impl Into<Option<u16>>) -> Self {
        self.with(|shared| shared.server = Some((address.into().into(), port.into())))
    }

    /// The id by which the broker knows this client.
    #[must_use]
    pub fn client_id(self, id: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.client_id = Some(id.into().into()))
    }

    /// This destination, with operations that are called as the messaging system calls them: `publish`, `poll`, `peek`.
    ///
    /// Spans are named so, settlements too, and metrics have it as `messaging.operation.name`; the operation's type
    /// stays. Call it for each operation, which costs next to nothing, or keep the result.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination};
    ///
    /// let orders = Destination::new("rabbitmq", "orders");
    /// orders.operation_name("publish").send(&mut Headers::new()).run(|| ());
    /// ```
    #[must_use]
    pub fn operation_name(&self, name: &'static str) -> Self {
        Self { shared: self.shared.clone(), operation_name: Some(name) }
    }

    /// With operations that are called after their type again: the queue has several of them.
    #[cfg(feature = "queue")]
    pub(crate) fn without_operation_name(self) -> Self {
        Self { operation_name: None, ..self }
    }

    /// Whose child the span of a [`process`](Self::process) is.
    #[must_use]
    pub fn relation(self, relation: Relation) -> Self {
        self.with(|shared| shared.relation = relation)
    }

    /// How far the senders are trusted.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        self.with(|shared| shared.trust = trust)
    }

    /// Which baggage reaches the handlers.
    #[must_use]
    pub fn baggage(self, policy: BaggagePolicy) -> Self {
        self.with(|shared| shared.baggage = policy)
    }

    /// Where the spans go, if not to the global provider.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{messaging::Destination, testing::TraceRecorder};
    ///
    /// let recorder = TraceRecorder::new();
    /// let orders = Destination::new("rabbitmq", "orders").with_tracer_provider(recorder.provider());
    /// ```
    #[must_use]
    pub fn with_tracer_provider<P>(self, provider: &P) -> Self
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as Tracer>::Span: Send + Sync + 'static,
    {
        let tracer = BoxedTracer::new(Box::new(provider.tracer_with_scope(scope())));
        self.with(|shared| shared.tracer = OnceLock::from(Arc::new(tracer)))
    }

    /// Where the metrics go, if not to the global provider.
    #[must_use]
    pub fn with_meter_provider(self, provider: &dyn MeterProvider) -> Self {
        let metrics = Metrics::new(&provider.meter_with_scope(scope()));
        self.with(|shared| shared.metrics = OnceLock::from(metrics))
    }

    /// What writes and reads the headers, if not the global propagator.
    #[must_use]
    pub fn with_propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.propagator = Some(Arc::new(propagator)))
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.usual = Default::default();
        change(shared);
        self
    }
}

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

    /// Processes a message: a `CONSUMER` span, whose parent is chosen by [`Relation`] and [`Trust`], with a link to the
    /// message's creation context.
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

    fn span_name(&self, action: &Action) -> String {
        let shared = &*self.shared;
        match self.low_cardinality_name().or(shared.template.as_ref()) {
            // `format!` takes five times as long.
            Some(destination) => [self.name_of(action), " ", destination.as_str()].concat(),
            None => self.name_of(action).to_owned(),
        }
    }

    /// What the operation is called.
    pub(super) fn name_of(&self, action: &Action) -> &'static str {
        self.operation_name.unwrap_or(action.name())
    }

    /// The name, if spans and metrics may be named after it.
    fn low_cardinality_name(&self) -> Option<&StringValue> {
        let shared = &*self.shared;
        (shared.template.is_none() && !shared.anonymous && !shared.temporary).then_some(&shared.name)
    }

    fn span_attributes(&self, action: &Action) -> Vec<KeyValue> {
        let shared = &*self.shared;
        let mut attributes = Vec::with_capacity(12);
        attributes.push(KeyValue::new(MESSAGING_SYSTEM, shared.system.clone()));
        attributes.push(KeyValue::new(MESSAGING_OPERATION_NAME, self.name_of(action)));
        attributes.push(KeyValue::new(MESSAGING_OPERATION_TYPE, action.operation_type()));
        attributes.push(KeyValue::new(MESSAGING_DESTINATION_NAME, shared.name.clone()));
        let mut text = |key: &'static str, value: &Option<StringValue>| {
            attributes.extend(value.clone().map(|value| KeyValue::new(key, value)));
        };
        text(MESSAGING_DESTINATION_TEMPLATE, &shared.template);
        text(MESSAGING_DESTINATION_PARTITION_ID, &shared.partition);
        if action.consumes() {
            text(MESSAGING_CONSUMER_GROUP_NAME, &shared.consumer_group);
            text(MESSAGING_DESTINATION_SUBSCRIPTION_NAME, &shared.subscription);
        }
        text(MESSAGING_CLIENT_ID, &shared.client_id);
        if shared.anonymous {
            attributes.push(KeyValue::new(MESSAGING_DESTINATION_ANONYMOUS, true));
        }
        if shared.temporary {
            attributes.push(KeyValue::new(MESSAGING_DESTINATION_TEMPORARY, true));
        }
        self.push_server(&mut attributes);
        attributes
    }

    /// What all metrics of an operation have in common, and the operation's type, which not all have, at the end.
    pub(super) fn metric_attributes(
        &self,
        action: &Action,
        partition: Option<&StringValue>,
        failure: Option<Failure>,
    ) -> Cow<'_, [KeyValue]> {
        let usual = match (action, self.operation_name, partition, &failure) {
            (Action::Send, None, None, None) => Some(&self.shared.usual[0]),
            (Action::Process, None, None, None) => Some(&self.shared.usual[1]),
            _ => None,
        };
        let make = || self.make_metric_attributes(action, partition, failure);
        match usual {
            Some(usual) => Cow::Borrowed(usual.get_or_init(make)),
            None => Cow::Owned(make()),
        }
    }

    fn make_metric_attributes(
        &self,
        action: &Action,
        partition: Option<&StringValue>,
        failure: Option<Failure>,
    ) -> Vec<KeyValue> {
        let shared = &*self.shared;
        let mut attributes = Vec::with_capacity(11);
        attributes.push(KeyValue::new(MESSAGING_SYSTEM, shared.system.clone()));
        attributes.push(KeyValue::new(MESSAGING_OPERATION_NAME, self.name_of(action)));
        let mut text = |key: &'static str, value: Option<&StringValue>| {
            attributes.extend(value.cloned().map(|value| KeyValue::new(key, value)));
        };
        text(MESSAGING_DESTINATION_NAME, self.low_cardinality_name());
        text(MESSAGING_DESTINATION_TEMPLATE, shared.template.as_ref());
        text(MESSAGING_DESTINATION_PARTITION_ID, shared.partition.as_ref().or(partition));
        if action.consumes() {
            text(MESSAGING_CONSUMER_GROUP_NAME, shared.consumer_group.as_ref());
            text(MESSAGING_DESTINATION_SUBSCRIPTION_NAME, shared.subscription.as_ref());
        }
        self.push_server(&mut attributes);
        attributes.extend(failure.map(|failure| KeyValue::new(ERROR_TYPE, failure.error_type)));
        attributes.push(KeyValue::new(MESSAGING_OPERATION_TYPE, action.operation_type()));
        attributes
    }

    fn push_server(&self, attributes: &mut Vec<KeyValue>) {
        if let Some((address, port)) = &self.shared.server {
            attributes.push(KeyValue::new(SERVER_ADDRESS, address.clone()));
            attributes.extend(port.map(|port| KeyValue::new(SERVER_PORT, i64::from(port))));
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.shared.metrics.get_or_init(|| Metrics::new(&global::meter_with_scope(scope())))
    }

    pub(super) fn system(&self) -> &str {
        self.shared.system.as_str()
    }

    pub(super) fn has_partition(&self) -> bool {
        self.shared.partition.is_some()
    }

    /// What a message says of its origin, if its senders may say anything.
    pub(super) fn extract_trusted(&self, message: &impl Carrier) -> Context {
        self.read(message).0
    }

    /// As [`extract_trusted`](Self::extract_trusted), and what is wrong with it.
    fn read(&self, message: &impl Carrier) -> (Context, Option<carrier::Rejected>) {
        match self.shared.trust {
            Trust::Ignore => (Context::new(), None),
            Trust::Continue | Trust::LinkOnly => match self.try_extract(message) {
                Ok(cx) => (cx, None),
                Err(rejected) => (rejected.clone().into_context(), Some(rejected)),
            },
        }
    }

    fn extract(&self, message: &impl Carrier) -> Context {
        self.try_extract(message).unwrap_or_else(carrier::Rejected::into_context)
    }

    fn try_extract(&self, message: &impl Carrier) -> Result<Context, carrier::Rejected> {
        match &self.shared.propagator {
            Some(propagator) => carrier::try_extract_with(&**propagator, message),
            None => carrier::try_extract(message),
        }
    }

    fn inject(&self, cx: &Context, message: &mut impl Carrier) {
        match &self.shared.propagator {
            Some(propagator) => carrier::inject_with(&**propagator, cx, message),
            None => carrier::inject(cx, message),
        };
    }
}

/// What many messages say of their origins.
struct Batch {
    count: u64,
    links: Vec<Link>,
    rejected: Vec<carrier::Rejected>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { system, name, template, .. } = &*self.shared;
        f.debug_struct("Destination")
            .field("system", &system.as_str())
            .field("name", &name.as_str())
            .field("template", &template.as_ref().map(StringValue::as_str))
            .finish_non_exhaustive()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}
