use std::{fmt, marker::PhantomData, sync::Arc};

use http::{Extensions, HeaderName};
use opentelemetry::{
    StringValue,
    metrics::MeterProvider,
    propagation::TextMapPropagator,
    trace::{Tracer, TracerProvider},
};
use tower_layer::Layer;

use super::{AsItIs, Inside, Messages, Trace, settings::Settings, side::Side};
use crate::{BaggagePolicy, Trust};

/// A layer that makes a span of each request, and runs all of the request in it: the service's future, the polls of
/// the response's body, and the drops of both.
///
/// [`server`](Self::server) goes around a service that answers requests, and [`client`](TraceLayer::client) around one that sends
/// them. Both take HTTP and gRPC, and tell them apart by the request's `content-type`.
///
/// Cloning it is cheap. The tracer and the instruments are looked up at the first request, from the global providers
/// unless [it has its own](Self::with_tracer_provider): install those first.
///
/// # Guarantees
///
/// - The span ends exactly once, and the duration is recorded with it, which is the span's own:
///
/// | what happens | HTTP server | HTTP client | gRPC server | gRPC client |
/// |---|---|---|---|---|
/// | the body ends | fails from 500 | fails from 400 | fails by the status | fails unless `OK` |
/// | the service or the body fails | fails | fails | fails | fails |
/// | one of them panics | `panic` | `panic` | `panic` | `panic` |
/// | it is dropped before its end | `cancelled` | no failure | status `CANCELLED`, no failure | as the server |
/// | … when its `grpc-timeout` is over | | | fails, `DEADLINE_EXCEEDED` | as the server |
///
/// - A failure sets the span's status to error, with what the error displays or with `grpc-message`, and it sets `error.type`:
///   the status code, the name of the error's type, `panic` or `cancelled`. A failure of the body comes before the status.
/// - A drop after the last byte that `content-length` announced, of the body of a `HEAD`, or after gRPC's trailers, is the
///   body's end: servers do not poll further.
/// - A gRPC server fails by `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`. The other
///   statuses are the client's mistakes.
/// - In the work, exactly the request's context is current, as for any [`WithContext`](crate::WithContext). If there is no
///   span, because nobody makes spans or telemetry is suppressed, that is the remote context at a server, and the current
///   one at a client: it flows on. A span that the sampler drops is no parent to any that is recorded: the trace flows on as
///   not sampled.
/// - While telemetry is suppressed nothing is recorded, neither spans nor metrics.
///
/// # Limits
///
/// - A response that switches protocols, of a WebSocket, is complete with its head. Another task then works on the connection.
///   Bind that: `upgrade.on_upgrade(|socket| handle(socket).with_current_context())`.
/// - The request's body is polled by whoever takes it: at a client that is the connection, outside of the request's
///   context. See [`request_body`](Self::request_body).
pub struct TraceLayer<K, R = AsItIs> {
    settings: Arc<Settings>,
    request_body: R,
    side: PhantomData<K>,
}

/// The side of [`TraceLayer::server`].
#[derive(Clone, Copy, Debug)]
pub enum Server {}

/// The side of [`TraceLayer::client`].
#[derive(Clone, Copy, Debug)]
pub enum Client {}

impl TraceLayer<Server> {
    /// A layer around a service that answers requests.
    ///
    /// The span's parent is what the headers say, and never what is current: that belongs to the connection, or to another
    /// request. Headers that cannot be read are an event, `ctxhop.context_rejected`, on the span.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tower::TraceLayer;
    /// use tower_layer::Layer;
    ///
    /// # struct Shop;
    /// let shop = TraceLayer::server().layer(Shop);
    /// ```
    #[must_use]
    pub fn server() -> Self {
        Self::new(Side::Server)
    }
}

impl TraceLayer<Client> {
    /// A layer around a service that sends requests.
    ///
    /// The span is a child of what is current at the call, and its context goes into the request's headers.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tower::TraceLayer;
    /// use tower_layer::Layer;
    ///
    /// # struct Channel;
    /// let channel = TraceLayer::client().layer(Channel);
    /// ```
    #[must_use]
    pub fn client() -> Self {
        Self::new(Side::Client)
    }
}

/// For servers.
impl<R> TraceLayer<Server, R> {
    /// How far those who send requests are trusted. With `LinkOnly` the span is a new root.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{BaggagePolicy, Trust, tower::TraceLayer};
    ///
    /// // For requests from outside: the span links to their trace, and their baggage goes no further.
    /// let layer = TraceLayer::server().trust(Trust::LinkOnly).baggage(BaggagePolicy::Strip);
    /// ```
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        self.with(|settings| settings.trust = trust)
    }

    /// Which baggage reaches the service, and from there whatever it calls.
    #[must_use]
    pub fn baggage(self, policy: BaggagePolicy) -> Self {
        self.with(|settings| settings.baggage = policy)
    }

    /// Where the route's template is in a request's extensions: `/orders/{id}`. The span is named after it, and it is an
    /// attribute of the metrics.
    ///
    /// For axum: `TraceLayer::server().route(|extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str))`, in
    /// [`Router::layer`](https://docs.rs/axum/latest/axum/struct.Router.html#method.layer).
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tower::TraceLayer;
    ///
    /// #[derive(Clone)]
    /// struct Template(&'static str);
    ///
    /// let layer = TraceLayer::server().route(|extensions| extensions.get::<Template>().map(|template| template.0));
    /// ```
    #[must_use]
    pub fn route<F>(self, route: F) -> Self
    where
        F: Fn(&Extensions) -> Option<&str> + Send + Sync + 'static,
    {
        self.with(|settings| settings.route = Some(Arc::new(route)))
    }

    /// Answers with the trace id in this header, for whoever reports a failure.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tower::TraceLayer;
    /// use http::HeaderName;
    ///
    /// let layer = TraceLayer::server().trace_id_header(HeaderName::from_static("x-trace-id"));
    /// ```
    #[must_use]
    pub fn trace_id_header(self, name: HeaderName) -> Self {
        self.with(|settings| settings.trace_id_header = Some(name))
    }

    /// The methods of gRPC that this server has. All others are `_OTHER`.
    ///
    /// Without it, a method counts as unknown if its answer is `UNIMPLEMENTED` and nothing else, or a refusal without a
    /// `grpc-status`. Use it where something answers strangers before that, a check of credentials for instance: the name of a method is an
    /// attribute of metrics, and strangers can send any.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tower::TraceLayer;
    ///
    /// let layer = TraceLayer::server().rpc_methods(["shop.Orders/Place", "shop.Orders/Cancel"]);
    /// ```
    #[must_use]
    pub fn rpc_methods<I>(self, names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|settings| settings.rpc_methods = Some(names))
    }
}

/// For clients.
impl<R> TraceLayer<Client, R> {
    /// How many bytes of headers are added to a request at most, names and values; 8,192 if you do not say.
    ///
    /// A server takes in more than the next one may accept, which would refuse the whole request. The last members of a longer
    /// baggage or tracestate are dropped: see [`Limited`](crate::carrier::Limited).
    #[must_use]
    pub fn header_bytes(self, limit: usize) -> Self {
        self.with(|settings| settings.header_bytes = limit)
    }
}

/// For both sides.
impl<K, R> TraceLayer<K, R> {
    fn new(side: Side) -> Self
    where
        R: Default,
    {
        Self { settings: Arc::new(Settings::new(side)), request_body: R::default(), side: PhantomData }
    }

    /// The server's name or address, and its port, if it is not as the request says.
    ///
    /// Use it around tonic's channel: it alone knows the address, and the request does not say it.
    #[must_use]
    pub fn server_address(self, address: impl Into<Arc<str>>, port: impl Into<Option<u16>>) -> Self {
        self.with(|settings| settings.server = Some((StringValue::from(address.into()), port.into())))
    }

    /// Makes these headers of the request, or metadata of the call, attributes of the span. By default none are, because they
    /// may be secret.
    #[must_use]
    pub fn record_request_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|settings| settings.request_headers = names.into_iter().collect())
    }

    /// Makes these headers of the response, or metadata of the call, attributes of the span. By default none are, because they
    /// may be secret.
    #[must_use]
    pub fn record_response_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|settings| settings.response_headers = names.into_iter().collect())
    }

    /// The methods of HTTP that are known, in place of the conventions' list. All others are `_OTHER`, because methods are
    /// attributes of metrics, and strangers can send any.
    #[must_use]
    pub fn http_methods<I>(self, names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|settings| settings.http_methods = Some(names))
    }

    /// What to say of gRPC's messages: nothing, if you do not ask.
    #[must_use]
    pub fn messages(self, messages: Messages) -> Self {
        self.with(|settings| settings.messages = messages)
    }

    /// Runs the request's body in the request's context too. `wrap` makes the type that the service takes.
    ///
    /// Use it around a client that streams: the connection polls that body, outside of any request. For a tonic client, `wrap`
    /// is `tonic::body::Body::new`; for reqwest, `reqwest::Body::wrap`. The layer needs it, too, to count the request's
    /// [`messages`](Self::messages).
    ///
    /// This binds the body to the request's own span. To run a tonic client's stream in the caller's context instead, call
    /// `client.chat(stream.with_current_context())`, without the layer's help.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::tower::{Messages, RequestBody, TraceLayer};
    /// use http_body_util::{Full, combinators::BoxBody};
    /// use hyper::body::Bytes;
    ///
    /// let layer = TraceLayer::client()
    ///     .messages(Messages::Count)
    ///     .request_body(|body: RequestBody<Full<Bytes>>| BoxBody::new(body));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn request_body<F>(self, wrap: F) -> TraceLayer<K, Inside<F>> {
        TraceLayer { settings: self.settings, request_body: Inside(wrap), side: PhantomData }
    }

    /// Where the spans go, if not to the global provider.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{testing::TraceRecorder, tower::TraceLayer};
    ///
    /// let recorder = TraceRecorder::new();
    /// let layer = TraceLayer::server().with_tracer_provider(recorder.provider());
    /// ```
    #[must_use]
    pub fn with_tracer_provider<P>(self, provider: &P) -> Self
    where
        P: TracerProvider,
        P::Tracer: Send + Sync + 'static,
        <P::Tracer as Tracer>::Span: Send + Sync + 'static,
    {
        self.with(|settings| settings.set_tracer_provider(provider))
    }

    /// Where the metrics go, if not to the global provider.
    #[must_use]
    pub fn with_meter_provider(self, provider: &dyn MeterProvider) -> Self {
        self.with(|settings| settings.set_meter_provider(provider))
    }

    /// What writes and reads the headers, if not the global propagator.
    #[must_use]
    pub fn with_propagator(self, propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.propagator = Some(Arc::new(propagator)))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S, K, R: Clone> Layer<S> for TraceLayer<K, R> {
    type Service = Trace<S, R>;

    fn layer(&self, inner: S) -> Trace<S, R> {
        Trace { inner, settings: self.settings.clone(), request_body: self.request_body.clone() }
    }
}

impl<K, R: Clone> Clone for TraceLayer<K, R> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), request_body: self.request_body.clone(), side: PhantomData }
    }
}

impl<K, R> fmt::Debug for TraceLayer<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
