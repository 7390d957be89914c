use std::sync::Arc;

use opentelemetry::{
    Context,
    baggage::{Baggage, BaggageExt},
    trace::{Link, SpanContext, TraceContextExt},
};

/// Whose child the span of a `process` is. It always links to the message's creation context as well.
///
/// A [`process_batch`](super::Destination::process_batch) is never the child of a message, as there are many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// As the conventions have it: of the span that is current here, or, if there is none, of the message.
    #[default]
    Auto,
    /// Of the message, whatever is current here; then the span links to what is current. So a trace goes on through a
    /// worker that has a span of its own.
    ///
    /// If the message has no creation context, as [`Auto`](Self::Auto).
    Parent,
    /// Never of the message: of the span that is current here, or a new root.
    Link,
}

/// What a sender may do to the traces of those who process its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trust {
    /// It may be the parent, as [`Relation`] says, and with that decides on sampling.
    #[default]
    Continue,
    /// It is only linked to: the span is a child of what is current here, or a new root, whatever [`Relation`] says.
    LinkOnly,
    /// What it says of its trace and baggage is not looked at.
    Ignore,
}

/// Which baggage of a message reaches its handler, and from there whatever the handler calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaggagePolicy {
    /// All of it, within the limits of [`carrier::extract`](crate::carrier::extract).
    #[default]
    Keep,
    /// None.
    Strip,
    /// The members of these names. See [`allow`](Self::allow).
    Allow(Arc<[String]>),
}

impl BaggagePolicy {
    /// Lets these members pass, and no others.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::messaging::{BaggagePolicy, Destination};
    ///
    /// let orders = Destination::new("rabbitmq", "orders").baggage(BaggagePolicy::allow(["tenant", "locale"]));
    /// ```
    #[must_use]
    pub fn allow<I>(names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self::Allow(names.into_iter().map(Into::into).collect())
    }

    pub(super) fn apply(&self, cx: Context) -> Context {
        match self {
            Self::Keep => cx,
            _ if cx.baggage().is_empty() => cx,
            Self::Strip => cx.with_cleared_baggage(),
            Self::Allow(names) => {
                let mut allowed = Baggage::new();
                copy(cx.baggage(), &mut allowed, |name| names.iter().any(|allowed| allowed == name));
                cx.with_baggage(allowed)
            }
        }
    }
}

/// What a message is processed in.
pub(super) struct Origin {
    /// The context that the span is started in.
    pub(super) base: Context,
    /// The message's own, and what the span is not a child of although it might be.
    pub(super) links: Vec<Link>,
}

impl Origin {
    /// `message` is what the message says, already without what the policies refuse.
    pub(super) fn new(ambient: Context, message: Context, relation: Relation, trust: Trust) -> Self {
        let creation = valid(&message);
        let current = valid(&ambient);
        let suppressed = ambient.is_telemetry_suppressed();
        let by_message = creation.is_some()
            && trust == Trust::Continue
            && match relation {
                Relation::Auto => current.is_none(),
                Relation::Parent => true,
                Relation::Link => false,
            };
        let base = if by_message {
            message
        } else if current.is_some() {
            with_baggage_of(ambient, &message)
        } else {
            with_baggage_of(Context::new(), &message)
        };
        // Else a message would bring telemetry back where it is switched off, to the exporter's own transport for one.
        let base = if suppressed { base.with_telemetry_suppressed() } else { base };
        let links = creation.into_iter().chain(current.filter(|_| by_message)).map(Link::with_context);
        Self { base, links: links.collect() }
    }
}

/// The span of a context, if it has a valid one.
pub(super) fn valid(cx: &Context) -> Option<SpanContext> {
    let span = cx.span();
    Some(span.span_context()).filter(|span_context| span_context.is_valid()).cloned()
}

/// Of two members of one name, that of `cx` stays: it is ours.
fn with_baggage_of(cx: Context, message: &Context) -> Context {
    if message.baggage().is_empty() {
        return cx;
    }
    let ours = cx.baggage();
    let mut baggage = Baggage::new();
    copy(ours, &mut baggage, |_| true);
    copy(message.baggage(), &mut baggage, |name| ours.get(name).is_none());
    cx.with_baggage(baggage)
}

fn copy(from: &Baggage, to: &mut Baggage, which: impl Fn(&str) -> bool) {
    for (name, (value, metadata)) in from.iter().filter(|(name, _)| which(name.as_str())) {
        to.insert_with_metadata(name.clone(), value.clone(), metadata.as_str());
    }
}
