use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt},
    trace::{Link, SpanContext, TraceContextExt},
};

use crate::Trust;

/// Whose child a message's span is: the span of its `process`, and of its `settle`.
///
/// The span always links to the message's creation context as well. A span on many messages, as of
/// [`process_batch`](super::Destination::process_batch), is never the child of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// What the conventions say: the current span's, or the message's if no span is current.
    #[default]
    Auto,
    /// The message's, even if a span is current; then the span links to the current one. So a trace goes on through a
    /// worker that has a span of its own.
    ///
    /// If the message has no creation context, this is the same as [`Auto`](Self::Auto).
    Parent,
    /// Never the message's: the current span's, or nobody's.
    Link,
}

/// Where the span of a message belongs.
#[derive(Clone)]
pub(super) struct Origin {
    /// The context that the span starts in.
    pub(super) base: Context,
    /// To the message's creation context, and to the current span if the message's is the parent.
    pub(super) links: Vec<Link>,
}

impl Origin {
    /// `message` is what the message says, without what the policies refuse.
    pub(super) fn new(ambient: Context, message: Context, relation: Relation, trust: Trust) -> Self {
        let has_current = ambient.span().span_context().is_valid();
        let suppressed = ambient.is_telemetry_suppressed();
        let mut links = Vec::new();
        let mut by_message = false;
        if let Some(creation) = valid(&message) {
            by_message = trust == Trust::Continue
                && match relation {
                    Relation::Auto => !has_current,
                    Relation::Parent => true,
                    Relation::Link => false,
                };
            let current = if by_message && has_current { valid(&ambient) } else { None };
            links = Vec::with_capacity(1 + usize::from(current.is_some()));
            links.push(Link::with_context(creation));
            if let Some(current) = current {
                links.push(Link::with_context(current));
            }
        }
        let base = if by_message {
            message
        } else if has_current {
            with_baggage_of(ambient, &message)
        } else {
            with_baggage_of(Context::new(), &message)
        };
        // Else a message would bring telemetry back where it is switched off, to the exporter's own transport for one.
        let base = if suppressed { base.with_telemetry_suppressed() } else { base };
        Self { base, links }
    }

    /// Of no message, or of many: of many none is the parent, and none brings its baggage.
    pub(super) fn without_message(ambient: Context) -> Self {
        let base = if ambient.span().span_context().is_valid() {
            ambient
        } else if ambient.is_telemetry_suppressed() {
            Context::new().with_telemetry_suppressed()
        } else {
            Context::new()
        };
        Self { base, links: Vec::new() }
    }
}

/// The span of a context, if it has a valid one.
pub(super) fn valid(cx: &Context) -> Option<SpanContext> {
    let span = cx.span();
    Some(span.span_context()).filter(|span_context| span_context.is_valid()).cloned()
}

/// Adds the message's baggage. Of two members with one name, that of `cx` stays: it is ours.
fn with_baggage_of(cx: Context, message: &Context) -> Context {
    if message.baggage().is_empty() {
        return cx;
    }
    let mut baggage = Baggage::new();
    let ours = cx.baggage();
    let theirs = message.baggage().iter().filter(|(name, _)| ours.get(name.as_str()).is_none());
    for (name, (value, metadata)) in ours.iter().chain(theirs) {
        baggage.insert_with_metadata(name.clone(), value.clone(), metadata.as_str());
    }
    cx.with_baggage(baggage)
}
