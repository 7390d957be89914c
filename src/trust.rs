//! What a stranger who sends a message or a request may do to this program's traces and baggage.

use std::sync::Arc;

use opentelemetry::{
    Context, Key,
    baggage::{Baggage, BaggageExt},
};

use crate::propagation::baggage::safe_metadata;

/// What a sender may do to the traces of the program that receives from it.
///
/// Use it where messages or requests come from outside. It has the last word over every other setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trust {
    /// The sender's span may be the parent, and so the sender decides on sampling.
    #[default]
    Continue,
    /// The sender's span is only linked to: the span here is a child of the current span, or a new root.
    LinkOnly,
    /// Nobody reads what the sender says of its trace and baggage.
    Ignore,
}

/// Which of a sender's baggage reaches the handler, and from there whatever the handler calls or sends.
///
/// # Examples
///
/// ```
/// use ctxhop::BaggagePolicy;
///
/// assert_ne!(BaggagePolicy::allow(["tenant", "locale"]), BaggagePolicy::Strip);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaggagePolicy {
    /// All of it, within the limits of [`carrier::extract`](crate::carrier::extract).
    #[default]
    Keep,
    /// None of it.
    Strip,
    /// The members with these names. Made by [`allow`](Self::allow).
    Allow(AllowedNames),
}

/// The names that [`BaggagePolicy::allow`] was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedNames(Arc<[String]>);

impl BaggagePolicy {
    /// Lets the members with these names pass, and no others.
    ///
    /// A member passes with its value and its properties. In the properties, everything that could become a member or a
    /// line of its own is percent-encoded, because some propagators write properties as they are. If the encoded
    /// properties have no room in 8,192 bytes, the member passes without them.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::{BaggagePolicy, messaging::Destination, tower::TraceLayer};
    ///
    /// let known = BaggagePolicy::allow(["tenant", "locale"]);
    /// let orders = Destination::new("rabbitmq", "orders").baggage(known.clone());
    /// let layer = TraceLayer::server().baggage(known);
    /// ```
    #[must_use]
    pub fn allow<I>(names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self::Allow(AllowedNames(names.into_iter().map(Into::into).collect()))
    }

    /// The context with the baggage that may pass.
    #[inline]
    pub(crate) fn apply(&self, cx: Context) -> Context {
        if *self == Self::Keep { cx } else { self.cut(cx) }
    }

    fn cut(&self, cx: Context) -> Context {
        match self {
            Self::Keep => cx,
            _ if cx.baggage().is_empty() => cx,
            Self::Strip => cx.with_cleared_baggage(),
            Self::Allow(AllowedNames(names)) => {
                let passes = |name: &Key| names.iter().any(|allowed| allowed == name.as_str());
                let members = || cx.baggage().iter().filter(|(name, _)| passes(name));
                let mut allowed = Baggage::new();
                for (name, (value, _)) in members() {
                    allowed.insert(name.clone(), value.clone());
                }
                // Encoded, they are longer, and the API refuses a whole member that has no room.
                for (name, (value, metadata)) in members().filter(|(_, (_, metadata))| !metadata.as_str().is_empty()) {
                    allowed.insert_with_metadata(name.clone(), value.clone(), safe_metadata(metadata));
                }
                cx.with_baggage(allowed)
            }
        }
    }
}
