use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
};

use opentelemetry::trace::{Link, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use super::ServiceEdgeKind;
use crate::testing::{
    origin::Origin,
    tree::{Key, index_by_key, key},
};

type Spans<'a> = [(&'a SpanData, &'a Origin)];

/// Work that goes from one span to another.
pub(super) struct Hop<'a> {
    kind: ServiceEdgeKind,
    from: (&'a SpanData, &'a Origin),
    to: (&'a SpanData, &'a Origin),
}

impl<'a> Hop<'a> {
    pub(super) fn key(&self) -> (&'a str, &'a str, ServiceEdgeKind, (String, String)) {
        (self.from.1.service(), self.to.1.service(), self.kind, by(self.from.0, self.to.0, self.kind))
    }

    pub(super) fn failed(&self) -> bool {
        let client = self.kind == ServiceEdgeKind::Call && self.from.0.span_kind == SpanKind::Client;
        failed(self.to.0) || client && failed(self.from.0)
    }
}

pub(super) fn failed(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

pub(super) struct Hops<'s, 'a> {
    spans: &'s Spans<'a>,
    indices: HashMap<Key, Option<usize>>,
}

impl<'s, 'a> Hops<'s, 'a> {
    pub(super) fn new(spans: &'s Spans<'a>) -> Self {
        Self { spans, indices: index_by_key(spans.iter().map(|(span, _)| key(span))) }
    }

    pub(super) fn find(&self) -> Vec<Hop<'a>> {
        let (mut hops, mut received, mut processed) = (Vec::new(), Vec::new(), HashSet::new());
        for (index, &to) in self.spans.iter().enumerate() {
            let type_of = text(to.0, &["messaging.operation.type"]);
            if type_of.as_deref() == Some("settle") {
                continue;
            }
            let parent = self.parent(to.0).filter(|&parent| parent != index);
            let receives = type_of.as_deref() == Some("receive");
            let consumes = receives || to.0.span_kind == SpanKind::Consumer;
            let mut found = Vec::new();
            if let Some(parent) = parent {
                found.extend(self.parents_hop(parent, to, consumes).map(|hop| (parent, hop)));
            }
            if consumes {
                let links = self.links(to.0).filter(|&from| from != index && Some(from) != parent);
                let hop = |from| (from, Hop { kind: ServiceEdgeKind::Message, from: self.spans[from], to });
                found.extend(links.map(hop).filter(|(_, hop)| self.sends(hop.from, to)));
            }
            if receives {
                received.extend(found);
                continue;
            }
            hops.extend(found.into_iter().map(|(_, hop)| hop));
            if consumes {
                processed.extend(self.links(to.0).chain(parent).map(|from| (from, to.1.service())));
            }
        }
        received.retain(|(from, hop)| !processed.contains(&(*from, hop.to.1.service())));
        hops.extend(received.into_iter().map(|(_, hop)| hop));
        hops
    }

    fn parents_hop(&self, parent: usize, to: (&'a SpanData, &'a Origin), consumes: bool) -> Option<Hop<'a>> {
        use SpanKind::{Client, Producer, Server};
        let from = self.spans[parent];
        let leaves = from.1.service() != to.1.service();
        let produced = from.0.span_kind == Producer;
        let kind = match (&from.0.span_kind, &to.0.span_kind) {
            _ if produced && consumes || leaves && (produced || consumes) => ServiceEdgeKind::Message,
            (Client, Server) => ServiceEdgeKind::Call,
            _ if leaves => ServiceEdgeKind::Call,
            _ => return None,
        };
        Some(Hop { kind, from, to })
    }

    /// Whether a link leads to who sent the message, and not to an earlier attempt at it.
    fn sends(&self, from: (&SpanData, &Origin), to: (&SpanData, &Origin)) -> bool {
        from.0.span_kind == SpanKind::Producer || from.1.service() != to.1.service()
    }

    fn parent(&self, span: &SpanData) -> Option<usize> {
        self.indices.get(&(span.span_context.trace_id(), span.parent_span_id)).copied().flatten()
    }

    /// The recorded spans that a span links to, each once.
    fn links(&self, span: &SpanData) -> impl Iterator<Item = usize> {
        let place = |link: &Link| {
            let key = (link.span_context.trace_id(), link.span_context.span_id());
            self.indices.get(&key).copied().flatten()
        };
        span.links.iter().filter_map(place).collect::<BTreeSet<_>>().into_iter()
    }
}

/// The protocol, and the operation, by the names of OpenTelemetry's conventions, and by older ones that others still use.
fn by(from: &SpanData, to: &SpanData, kind: ServiceEdgeKind) -> (String, String) {
    let receiver_first = |names: &[&str]| text(to, names).or_else(|| text(from, names));
    if let Some(system) = receiver_first(&["rpc.system.name", "rpc.system"]) {
        let method = receiver_first(&["rpc.method"]).unwrap_or_default();
        let service = receiver_first(&["rpc.service"]).filter(|_| !method.contains('/'));
        let method = service.map(|service| format!("{service}/{method}")).unwrap_or_else(|| method.into_owned());
        let system = if system == "grpc" { "gRPC".to_owned() } else { system.into_owned() };
        return (system, method);
    }
    if kind == ServiceEdgeKind::Message {
        // The sender's name, because the receiver's may be a queue's that the sender does not know of.
        let sender_first = |names: &[&str]| text(from, names).or_else(|| text(to, names));
        if let Some(system) = sender_first(&["messaging.system"]) {
            let name = sender_first(&["messaging.destination.template", "messaging.destination.name"]);
            return (system.into_owned(), name.unwrap_or_default().into_owned());
        }
    }
    if let Some(method) = receiver_first(&["http.request.method", "http.method"]) {
        let route = text(to, &["http.route"]).or_else(|| text(from, &["url.template"]));
        let space = if route.is_some() { " " } else { "" };
        return ("HTTP".to_owned(), format!("{method}{space}{}", route.unwrap_or_default()));
    }
    (String::new(), to.name.clone().into_owned())
}

/// The value of the first of these attributes that the span has.
fn text<'a>(span: &'a SpanData, names: &[&str]) -> Option<Cow<'a, str>> {
    let find = |name: &&str| span.attributes.iter().find(|attribute| attribute.key.as_str() == *name);
    names.iter().find_map(find).map(|attribute| attribute.value.as_str())
}
