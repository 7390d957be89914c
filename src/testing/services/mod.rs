mod hops;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    fmt,
};

use super::{TraceTree, drawing::one_line};
use hops::{Hops, failed};

/// Which service calls which, by what, how often, and how often it failed.
///
/// [`TraceTree::services`] makes it. As text it shows who calls whom (`→`) and who sends messages to whom (`⇢`), each
/// pair once. A chain begins at a service that no other calls, where there is one:
///
/// ```text
/// [shopper] → [gateway] → [checkout] ⇢ [stock]
/// [checkout] → [payment]
/// [cron]
/// ```
///
/// The alternate form, `{:#}`, adds a line for each edge:
///
/// ```text
/// shopper → gateway: HTTP POST /api/checkout ×12
/// checkout ⇢ stock: rabbitmq checkout.processed ×13, 1 failed (8 %)
/// ```
///
/// Control characters in names are escaped. Equal traces give the same text in every run.
///
/// # What counts
///
/// - **A call**: a span whose parent is of another service, or a server's span whose parent is a client's.
/// - **A message**: a consumer's span, a span of `receive`, or a producer's child in another service. A consumer's span
///   counts once for each span that it has for a parent or links to, if that is a producer's or of another service. So
///   each attempt counts, and a batch counts for each of its messages. A span of `receive` counts in the same way, but
///   only for messages that no span of the same service processes; spans of settlements do not count.
/// - **A failure**: the receiving span has the status *error*; of a call, also where only the client's has it.
///
/// Services are told apart by `service.name` alone. Spans of whose other end nothing is recorded make no edge: a client
/// whose server is not recorded, or could not be reached. [Open spans](TraceTree::open_spans) count.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::{KeyValue, trace::{SpanKind, Tracer, TraceContextExt}, Context};
///
/// let recorder = TraceRecorder::new();
/// let gateway = recorder.service("gateway").tracer("gateway");
/// let checkout = recorder.service("checkout").tracer("checkout");
/// let call = gateway.span_builder("POST").with_kind(SpanKind::Client).start(&gateway);
/// let call = Context::new().with_span(call);
/// let attributes = [KeyValue::new("http.request.method", "POST"), KeyValue::new("http.route", "/orders")];
/// let server = checkout.span_builder("POST /orders").with_kind(SpanKind::Server).with_attributes(attributes);
/// drop(server.start_with_context(&checkout, &call));
///
/// let graph = recorder.tree().services();
/// assert_eq!(graph.to_string(), "[gateway] → [checkout]");
/// let [edge] = graph.edges() else { panic!("one edge") };
/// assert_eq!((&*edge.protocol, &*edge.operation, edge.count, edge.errors), ("HTTP", "POST /orders", 1, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceGraph {
    services: Vec<Service>,
    edges: Vec<ServiceEdge>,
}

/// A service in a [`ServiceGraph`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its `service.name`, or `unknown_service`.
    pub name: String,
    /// How many spans it has, open ones too.
    pub spans: usize,
    /// How many of them have the status *error*.
    pub errors: usize,
}

/// Calls or messages from one service to another, or to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceEdge {
    /// The name of the service that calls, or sends.
    pub from: String,
    /// The name of the service that is called, or receives.
    pub to: String,
    /// Whether these are calls or messages.
    pub kind: ServiceEdgeKind,
    /// `HTTP`, `gRPC`, another `rpc.system.name`, or a `messaging.system`; empty if the spans do not say.
    pub protocol: String,
    /// The method with its route, the method of the RPC, or the name of the destination. The receiving span's name if the
    /// spans do not say.
    pub operation: String,
    /// How many there were.
    pub count: usize,
    /// How many of them failed.
    pub errors: usize,
}

/// How one service reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ServiceEdgeKind {
    /// It calls the other, and has its answer.
    Call,
    /// It leaves a message, and goes on.
    Message,
}

impl ServiceGraph {
    pub(super) fn new(tree: &TraceTree) -> Self {
        let spans: Vec<_> = tree.all().collect();
        let mut services = BTreeMap::new();
        for (span, origin) in &spans {
            let service = services.entry(origin.service()).or_insert_with(|| Service {
                name: origin.service().to_owned(),
                spans: 0,
                errors: 0,
            });
            service.spans += 1;
            service.errors += usize::from(failed(span));
        }
        let mut counts = BTreeMap::<_, (usize, usize)>::new();
        for hop in Hops::new(&spans).find() {
            let (count, errors) = counts.entry(hop.key()).or_default();
            *count += 1;
            *errors += usize::from(hop.failed());
        }
        let edge = |((from, to, kind, (protocol, operation)), (count, errors)): ((&str, &str, _, (_, _)), _)| {
            ServiceEdge { from: from.to_owned(), to: to.to_owned(), kind, protocol, operation, count, errors }
        };
        Self { edges: counts.into_iter().map(edge).collect(), services: services.into_values().collect() }
    }

    /// The services, by name. Those without an edge are among them.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The edges, by the names of both ends. A pair of services has one for each kind, protocol and operation.
    #[must_use]
    pub fn edges(&self) -> &[ServiceEdge] {
        &self.edges
    }
}

impl ServiceEdge {
    /// The protocol and the operation: `HTTP POST /orders`.
    #[must_use]
    pub fn by(&self) -> String {
        let space = if self.protocol.is_empty() || self.operation.is_empty() { "" } else { " " };
        format!("{}{space}{}", self.protocol, self.operation)
    }

    /// The share of those that failed, from 0 to 1.
    #[must_use]
    pub fn error_share(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.errors as f64 / self.count as f64 }
    }
}

impl ServiceEdgeKind {
    pub(super) const fn arrow(self) -> &'static str {
        match self {
            Self::Call => "→",
            Self::Message => "⇢",
        }
    }
}

impl fmt::Display for ServiceGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, chain) in self.chains().into_iter().enumerate() {
            f.write_str(if line == 0 { "" } else { "\n" })?;
            for (arrow, service) in chain {
                write!(f, "{arrow}[{}]", one_line(service))?;
            }
        }
        if f.alternate() {
            for edge in &self.edges {
                let (from, to, by) = (one_line(&edge.from), one_line(&edge.to), one_line(&edge.by()));
                write!(f, "\n{from} {} {to}: {by} ×{}", edge.kind.arrow(), edge.count)?;
                if edge.errors > 0 {
                    write!(f, ", {} failed ({:.0} %)", edge.errors, 100.0 * edge.error_share())?;
                }
            }
        }
        Ok(())
    }
}

impl ServiceGraph {
    /// Lines that together have each pair of services once, and each service at least once.
    fn chains(&self) -> Vec<Vec<(String, &str)>> {
        let mut next = BTreeMap::<&str, BTreeSet<_>>::new();
        let mut called = HashSet::new();
        for edge in &self.edges {
            next.entry(&edge.from).or_default().insert((&*edge.to, edge.kind));
            if edge.from != edge.to {
                called.insert(&*edge.to);
            }
        }
        let names = || self.services.iter().map(|service| &*service.name);
        let mut starts: VecDeque<_> = names().filter(|name| !called.contains(name)).collect();
        let mut rest = names();
        let mut seen = HashSet::new();
        let mut chains = Vec::new();
        // Who is called begins a line only where lines that begin above it leave something out.
        while let Some(start) = starts.pop_front().or_else(|| rest.next()) {
            while seen.insert(start) || next.get(start).is_some_and(|next| !next.is_empty()) {
                let mut chain = vec![(String::new(), start)];
                let mut from = start;
                while let Some((to, kind)) = next.get_mut(from).and_then(BTreeSet::pop_first) {
                    chain.push((format!(" {} ", kind.arrow()), to));
                    if seen.insert(to) {
                        starts.push_back(to);
                    }
                    from = to;
                }
                chains.push(chain);
            }
        }
        chains
    }
}
