use std::borrow::Cow;

use opentelemetry::{KeyValue, StringValue, Value};

use super::{action::Action, lasting, metrics::Series};
use crate::conventions::{
    self, MESSAGING_CLIENT_ID, MESSAGING_CONSUMER_GROUP_NAME, MESSAGING_DESTINATION_ANONYMOUS,
    MESSAGING_DESTINATION_NAME, MESSAGING_DESTINATION_PARTITION_ID, MESSAGING_DESTINATION_SUBSCRIPTION_NAME,
    MESSAGING_DESTINATION_TEMPLATE, MESSAGING_DESTINATION_TEMPORARY, MESSAGING_OPERATION_NAME,
    MESSAGING_OPERATION_TYPE, MESSAGING_SYSTEM, SERVER_ADDRESS, SERVER_PORT,
};

/// What a destination is.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) system: StringValue,
    pub(super) name: StringValue,
    pub(super) template: Option<StringValue>,
    pub(super) anonymous: bool,
    pub(super) temporary: bool,
    pub(super) partition: Option<StringValue>,
    pub(super) consumer_group: Option<StringValue>,
    pub(super) subscription: Option<StringValue>,
    pub(super) server: Option<(StringValue, Option<u16>)>,
    pub(super) client_id: Option<StringValue>,
    /// The key of the delivery count.
    pub(super) delivery_count: &'static str,
}

impl Facts {
    pub(super) fn new(system: StringValue, name: StringValue) -> Self {
        Self {
            delivery_count: conventions::delivery_count(system.as_str()),
            system,
            name,
            template: None,
            anonymous: false,
            temporary: false,
            partition: None,
            consumer_group: None,
            subscription: None,
            server: None,
            client_id: None,
        }
    }

    /// The name, if spans and metrics may be named after it.
    fn low_cardinality_name(&self) -> Option<&StringValue> {
        (self.template.is_none() && !self.anonymous && !self.temporary).then_some(&self.name)
    }
}

/// What spans and metrics say of an action on a destination. It is the same for every message, and so it is made once.
#[derive(Clone)]
pub(super) struct Wording {
    pub(super) span_name: Cow<'static, str>,
    /// Without the destination's name if that may be the message's own.
    pub(super) span: Vec<Said>,
    /// At the end is the operation's type, which not all metrics have.
    pub(super) metrics: Vec<KeyValue>,
    pub(super) series: Series,
}

/// An attribute of each message's span.
#[derive(Clone)]
pub(super) enum Said {
    /// Of two names that live forever. Making it takes a quarter of what a clone takes.
    Lasting(&'static str, &'static str),
    Any(KeyValue),
}

impl Said {
    fn new(key: &'static str, value: Value, keep: impl FnOnce(&str) -> Option<&'static str>) -> Self {
        let kept = if let Value::String(text) = &value { keep(text.as_str()) } else { None };
        kept.map_or_else(|| Self::Any(KeyValue::new(key, value)), |text| Self::Lasting(key, text))
    }

    #[inline]
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Lasting(key, _) => key,
            Self::Any(attribute) => attribute.key.as_str(),
        }
    }

    #[inline]
    pub(super) fn attribute(&self) -> KeyValue {
        match self {
            Self::Lasting(key, text) => KeyValue::new(*key, *text),
            Self::Any(attribute) => attribute.clone(),
        }
    }
}

impl Wording {
    /// `one_of_many`: the message has a destination of its own. Then the facts' name stands for all of them. `is_kept`: the
    /// wording is for more than one message, so that names which last are worth the look-up.
    pub(super) fn new(
        facts: &Facts,
        action: Action,
        operation_name: &'static str,
        one_of_many: bool,
        is_kept: bool,
    ) -> Self {
        let own_name = (!one_of_many).then_some(&facts.name);
        let name = facts.low_cardinality_name();
        let (name, template) =
            if one_of_many { (None, facts.template.as_ref().or(name)) } else { (name, facts.template.as_ref()) };

        let mut span: Vec<(&'static str, Value)> = Vec::with_capacity(12);
        span.push((MESSAGING_SYSTEM, facts.system.clone().into()));
        span.push((MESSAGING_OPERATION_NAME, operation_name.into()));
        let mut metrics = span.clone();
        let text = |attributes: &mut Vec<(_, Value)>, key, value: Option<&StringValue>| {
            attributes.extend(value.cloned().map(|value| (key, value.into())));
        };
        text(&mut metrics, MESSAGING_DESTINATION_NAME, name);
        span.push((MESSAGING_OPERATION_TYPE, action.operation_type().into()));
        text(&mut span, MESSAGING_DESTINATION_NAME, own_name);
        text(&mut span, MESSAGING_CLIENT_ID, facts.client_id.as_ref());
        if facts.anonymous {
            span.push((MESSAGING_DESTINATION_ANONYMOUS, true.into()));
        }
        if facts.temporary {
            span.push((MESSAGING_DESTINATION_TEMPORARY, true.into()));
        }
        for attributes in [&mut span, &mut metrics] {
            text(attributes, MESSAGING_DESTINATION_TEMPLATE, template);
            text(attributes, MESSAGING_DESTINATION_PARTITION_ID, facts.partition.as_ref());
            if action.consumes() {
                text(attributes, MESSAGING_CONSUMER_GROUP_NAME, facts.consumer_group.as_ref());
                text(attributes, MESSAGING_DESTINATION_SUBSCRIPTION_NAME, facts.subscription.as_ref());
            }
            if let Some((address, port)) = &facts.server {
                attributes.push((SERVER_ADDRESS, address.clone().into()));
                attributes.extend(port.map(|port| (SERVER_PORT, i64::from(port).into())));
            }
        }
        metrics.push((MESSAGING_OPERATION_TYPE, action.operation_type().into()));

        let keep = |text: &str| if is_kept { lasting::keep(text) } else { None };
        let span_name = match template.or(name) {
            Some(destination) => [operation_name, " ", destination.as_str()].concat(),
            None => operation_name.to_owned(),
        };
        Self {
            span_name: keep(&span_name).map_or(Cow::Owned(span_name), Cow::Borrowed),
            span: span.into_iter().map(|(key, value)| Said::new(key, value, keep)).collect(),
            metrics: metrics.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
            series: Series::default(),
        }
    }
}
