use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use opentelemetry::{Context, KeyValue, StringValue, trace::SpanContext};

use super::{
    Relation,
    action::Action,
    relation::{Origin, valid},
    telemetry::Telemetry,
    wording::{Facts, Said, Wording},
};
use crate::{
    BaggagePolicy, Trust,
    carrier::{Carrier, Rejected},
    conventions::MESSAGING_DESTINATION_NAME,
};

/// What an operation is on: a destination, and what differs from one operation to the next. Cloning it is cheap.
#[derive(Clone)]
pub(super) struct Target {
    shared: Arc<Shared>,
    /// The message's own destination, if it is one of many.
    name: Option<StringValue>,
    /// What operations are called, if not after their type.
    operation_name: Option<&'static str>,
    /// The message may be old: `Auto` means `Link`.
    links_by_default: bool,
}

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) facts: Facts,
    pub(super) telemetry: Telemetry,
    pub(super) relation: Relation,
    pub(super) trust: Trust,
    pub(super) baggage: BaggagePolicy,
    wordings: Wordings,
}

/// A wording that is kept, or one that was made for a single operation.
pub(super) enum Worded<'a> {
    Kept(&'a Wording),
    Made(Box<Wording>),
}

impl Deref for Worded<'_> {
    type Target = Wording;

    #[inline]
    fn deref(&self) -> &Wording {
        match self {
            Self::Kept(wording) => wording,
            Self::Made(wording) => wording,
        }
    }
}

/// By action: of the destination, and of one of many.
type Wordings = [[OnceLock<Wording>; Action::COUNT]; 2];

impl Target {
    pub(super) fn new(system: StringValue, name: StringValue) -> Self {
        let shared = Shared {
            facts: Facts::new(system, name),
            telemetry: Telemetry::default(),
            relation: Relation::default(),
            trust: Trust::default(),
            baggage: BaggagePolicy::default(),
            wordings: Wordings::default(),
        };
        Self { shared: Arc::new(shared), name: None, operation_name: None, links_by_default: false }
    }

    pub(super) fn at(&self, name: StringValue) -> Self {
        let name = Some(name).filter(|name| *name != self.shared.facts.name);
        Self { name, ..self.clone() }
    }

    pub(super) fn with_operation_name(&self, name: Option<&'static str>) -> Self {
        Self { operation_name: name, ..self.clone() }
    }

    #[cfg(feature = "rumqttc-0_25")]
    pub(super) fn linking_by_default(self) -> Self {
        Self { links_by_default: true, ..self }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.wordings = Wordings::default();
        change(shared);
        self
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.shared.telemetry
    }

    /// The destination's name: the message's own, if it has one.
    pub(super) fn name(&self) -> &StringValue {
        self.name.as_ref().unwrap_or(&self.shared.facts.name)
    }

    /// What the operation is called.
    pub(super) fn name_of(&self, action: Action) -> &'static str {
        self.operation_name.unwrap_or(action.name())
    }

    #[inline]
    pub(super) fn wording(&self, action: Action) -> Worded<'_> {
        let Some(index) = action.index().filter(|_| self.operation_name.is_none()) else {
            return Worded::Made(Box::new(self.new_wording(action, false)));
        };
        let place = &self.shared.wordings[usize::from(self.name.is_some())][index];
        // Asked first, because what makes it would be prepared each time.
        Worded::Kept(match place.get() {
            Some(kept) => kept,
            None => place.get_or_init(|| self.new_wording(action, true)),
        })
    }

    #[cold]
    fn new_wording(&self, action: Action, is_kept: bool) -> Wording {
        Wording::new(&self.shared.facts, action, self.name_of(action), self.name.is_some(), is_kept)
    }

    /// What a span says of the action from its start, with room for as many more attributes.
    pub(super) fn span_attributes(&self, wording: &Wording, more: usize) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(wording.span.len() + 1 + more);
        attributes.extend(wording.span.iter().map(Said::attribute));
        if let Some(name) = &self.name {
            attributes.push(KeyValue::new(MESSAGING_DESTINATION_NAME, name.clone()));
        }
        attributes
    }

    /// What a message says of its origin, if its sender may say anything, and what is wrong with it.
    pub(super) fn read(&self, message: &impl Carrier) -> (Context, Option<Rejected>) {
        match self.shared.trust {
            Trust::Ignore => (Context::new(), None),
            Trust::Continue | Trust::LinkOnly => match self.shared.telemetry.try_extract(message) {
                Ok(cx) => (cx, None),
                Err(rejected) => (rejected.clone().into_context(), Some(rejected)),
            },
        }
    }

    /// The creation context of a message that is about to be sent, if it has one. Mostly the message has not even headers.
    ///
    /// The policies hold for what is sent on, too: what they do not let pass is taken out of the message.
    pub(super) fn creation(&self, message: &mut impl Carrier) -> Creation {
        if message.keys().next().is_none() {
            return Creation::default();
        }
        let said = self.read(message).0;
        let span = valid(&said);
        if self.shared.trust != Trust::Continue {
            self.shared.telemetry.remove(message);
            return Creation { span, kept: false };
        }
        let kept = span.is_some();
        // Also where no baggage was read: a header that is malformed here may mean something to a laxer receiver.
        if self.shared.baggage != BaggagePolicy::Keep {
            // Where nothing is left to inject, what is refused would stay.
            self.shared.telemetry.remove(message);
            self.shared.telemetry.inject(&self.shared.baggage.apply(said), message);
        }
        Creation { span, kept }
    }

    /// Where a message's span belongs, which starts while `ambient` is current, and what is wrong with the message.
    pub(super) fn origin(&self, ambient: Context, message: &impl Carrier) -> (Origin, Option<Rejected>) {
        if message.keys().next().is_none() {
            return (Origin::without_message(ambient), None);
        }
        let Shared { relation, trust, baggage, .. } = &*self.shared;
        let (said, rejected) = self.read(message);
        let relation = match relation {
            Relation::Auto if self.links_by_default => Relation::Link,
            other => *other,
        };
        (Origin::new(ambient, baggage.apply(said), relation, *trust), rejected)
    }
}

/// Where a message that is about to be sent comes from.
#[derive(Default)]
pub(super) struct Creation {
    /// The span to link to.
    pub(super) span: Option<SpanContext>,
    /// The message goes on with it.
    pub(super) kept: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { system, template, .. } = self.facts();
        f.debug_struct("Destination")
            .field("system", &system.as_str())
            .field("name", &self.name().as_str())
            .field("template", &template.as_ref().map(StringValue::as_str))
            .finish_non_exhaustive()
    }
}
