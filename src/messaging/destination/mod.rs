mod calls;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, StringValue,
    global::{self, BoxedTracer},
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Tracer, TracerProvider},
};
use opentelemetry_semantic_conventions::{
    SCHEMA_URL,
    attribute::{
        ERROR_TYPE, MESSAGING_CLIENT_ID, MESSAGING_CONSUMER_GROUP_NAME, MESSAGING_DESTINATION_ANONYMOUS,
        MESSAGING_DESTINATION_NAME, MESSAGING_DESTINATION_PARTITION_ID, MESSAGING_DESTINATION_SUBSCRIPTION_NAME,
        MESSAGING_DESTINATION_TEMPLATE, MESSAGING_DESTINATION_TEMPORARY, MESSAGING_OPERATION_NAME,
        MESSAGING_OPERATION_TYPE, MESSAGING_SYSTEM, SERVER_ADDRESS, SERVER_PORT,
    },
};

use super::{BaggagePolicy, Failure, Relation, Trust, metrics::Metrics, operation::Action};
use crate::carrier::{self, Carrier};

/// The system of queues in this process.
pub(super) const IN_MEMORY: &str = "in_memory";

/// A queue or topic, described once, and what is done with its messages.
///
/// Each of [`send`](Self::send), [`create`](Self::create), [`receive`](Self::receive), [`process`](Self::process) and
/// [`settle`](Self::settle) starts a span at the call and gives an [`Operation`](super::Operation), to [`run`](super::Operation::run) the work
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
    /// [`Operation::partition`](super::Operation::partition).
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

/// What its spans and metrics say, and how its messages are read and written.
impl Destination {
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
