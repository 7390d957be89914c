mod receive;
mod send;

use std::{fmt, sync::Arc};

use opentelemetry::{
    Context,
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Tracer, TracerProvider},
};

use super::{
    Operation, Relation,
    action::Action,
    span::{Open, Start},
    target::{Shared, Target},
};
use crate::{BaggagePolicy, Trust, conventions::IN_MEMORY};

/// A queue or topic, described once.
///
/// Each of [`send`](Self::send), [`create`](Self::create), [`receive`](Self::receive), [`process`](Self::process) and
/// [`settle`](Self::settle) starts a span at the call and gives an [`Operation`], to [`run`](Operation::run) the work in. A
/// method named `…_batch` is one operation on many messages; one named `…_with` takes attributes for each of them, which go
/// on its link.
///
/// Cloning it is cheap, and an operation keeps a clone: make one destination for each queue and keep it. Its first
/// operation looks the tracer and the instruments up, at the global providers unless
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
    target: Target,
}

/// What it is.
impl Destination {
    /// The queue or topic `name` of a messaging system.
    ///
    /// The conventions have names for the systems: `kafka`, `rabbitmq`, `aws_sqs`, `gcp_pubsub`, `servicebus`, `pulsar`
    /// …
    #[must_use]
    pub fn new(system: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { target: Target::new(system.into().into(), name.into().into()) }
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
        Self { target: Target::new(IN_MEMORY.into(), name.into().into()) }
    }

    /// The pattern of many names: `/customers/{id}`. Spans and metrics are named after it, not after the name.
    #[must_use]
    pub fn template(self, template: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.facts.template = Some(template.into().into()))
    }

    /// The destination has no name, or one that the broker made up. Spans and metrics are not named after it.
    #[must_use]
    pub fn anonymous(self) -> Self {
        self.with(|shared| shared.facts.anonymous = true)
    }

    /// The destination may be gone once its messages are processed. Spans and metrics are not named after it.
    #[must_use]
    pub fn temporary(self) -> Self {
        self.with(|shared| shared.facts.temporary = true)
    }

    /// The only partition that this program sends to or receives from. Where it differs from message to message, use
    /// [`Operation::partition`].
    #[must_use]
    pub fn partition(self, id: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.facts.partition = Some(id.into().into()))
    }

    /// The consumer group that this program receives, processes and settles for.
    #[must_use]
    pub fn consumer_group(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.facts.consumer_group = Some(name.into().into()))
    }

    /// The subscription that this program receives, processes and settles for.
    #[must_use]
    pub fn subscription(self, name: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.facts.subscription = Some(name.into().into()))
    }

    /// The broker's name or address, and its port.
    #[must_use]
    pub fn server(self, address: impl Into<Arc<str>>, port: impl Into<Option<u16>>) -> Self {
        self.with(|shared| shared.facts.server = Some((address.into().into(), port.into())))
    }

    /// The id by which the broker knows this client.
    #[must_use]
    pub fn client_id(self, id: impl Into<Arc<str>>) -> Self {
        self.with(|shared| shared.facts.client_id = Some(id.into().into()))
    }

    /// The destination of one message: the name of a topic that a filter matches, of a subject, of a routing key.
    ///
    /// It shares the tracer, the instruments, the propagator and all else with this one, and costs little; so call it for
    /// each message. Its spans say the given name. They are named after this destination's
    /// [template](Self::template), or else after this destination's name, which becomes the template: a wildcard, for
    /// instance. Its metrics are too, and there are no more of them than before.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{carrier::Headers, messaging::Destination, testing::TraceRecorder};
    ///
    /// let recorder = TraceRecorder::new();
    /// let sensors = Destination::new("mqtt", "sensors/+").with_tracer_provider(recorder.provider());
    /// sensors.at("sensors/4711").process(&Headers::new()).run(|| ());
    ///
    /// assert_eq!(recorder.spans()[0].name, "process sensors/+");
    /// ```
    #[must_use]
    pub fn at(&self, name: impl Into<Arc<str>>) -> Self {
        Self { target: self.target.at(name.into().into()) }
    }

    /// The name of the queue or topic.
    #[must_use]
    pub fn name(&self) -> &str {
        self.target.name().as_str()
    }

    /// This destination, with operations that have the messaging system's own name: `publish`, `poll`, `peek`. With
    /// `None` they are called after their type again.
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
    pub fn operation_name(&self, name: impl Into<Option<&'static str>>) -> Self {
        Self { target: self.target.with_operation_name(name.into()) }
    }

    /// Whose child the span of a [`process`](Self::process) or [`settle`](Self::settle) is.
    #[must_use]
    pub fn relation(self, relation: Relation) -> Self {
        self.with(|shared| shared.relation = relation)
    }

    /// For a message that may be old: [`Relation::Auto`] means [`Relation::Link`].
    #[cfg(feature = "rumqttc-0_25")]
    pub(crate) fn linking_by_default(self) -> Self {
        Self { target: self.target.linking_by_default() }
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
        self.with(|shared| shared.telemetry.set_tracer_provider(provider))
    }

    /// Where the metrics go, if not to the global provider.
    #[must_use]
    pub fn with_meter_provider(self, provider: &dyn MeterProvider) -> Self {
        self.with(|shared| shared.telemetry.set_meter_provider(provider))
    }

    /// The propagator that writes and reads the headers, if not the global one.
    #[must_use]
    pub fn with_propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.telemetry.set_propagator(propagator))
    }

    fn with(self, change: impl FnOnce(&mut Shared)) -> Self {
        Self { target: self.target.with(change) }
    }
}

/// How its operations start.
impl Destination {
    fn start(&self, start: Start) -> Operation {
        Operation::new(Open::start(&self.target, start))
    }

    fn none(&self, action: Action, context: Context) -> Operation {
        Operation::new(Open::none(&self.target, action, context))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}
