use opentelemetry::{Key, KeyValue, StringValue};

use super::{action::Action, metrics::Series};
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
    pub(super) delivery_count: Key,
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
    pub(super) span_name: String,
    /// Without the destination's name, which may be the message's own.
    pub(super) span: Vec<KeyValue>,
    /// At the end is the operation's type, which not all metrics have.
    pub(super) metrics: Vec<KeyValue>,
    pub(super) series: Series,
}

impl Wording {
    /// `one_of_many`: the message has a destination of its own. Then the facts' name stands for all of them.
    pub(super) fn new(facts: &Facts, action: Action, operation_name: &'static str, one_of_many: bool) -> Self {
        let name = facts.low_cardinality_name();
        let (name, template) =
            if one_of_many { (None, facts.template.as_ref().or(name)) } else { (name, facts.template.as_ref()) };

        let mut span = Vec::with_capacity(11);
        span.push(KeyValue::new(MESSAGING_SYSTEM, facts.system.clone()));
        span.push(KeyValue::new(MESSAGING_OPERATION_NAME, operation_name));
        let mut metrics = span.clone();
        let text = |attributes: &mut Vec<KeyValue>, key: &'static str, value: Option<&StringValue>| {
            attributes.extend(value.cloned().map(|value| KeyValue::new(key, value)));
        };
        text(&mut metrics, MESSAGING_DESTINATION_NAME, name);
        let operation_type = KeyValue::new(MESSAGING_OPERATION_TYPE, action.operation_type());
        span.push(operation_type.clone());
        text(&mut span, MESSAGING_CLIENT_ID, facts.client_id.as_ref());
        if facts.anonymous {
            span.push(KeyValue::new(MESSAGING_DESTINATION_ANONYMOUS, true));
        }
        if facts.temporary {
            span.push(KeyValue::new(MESSAGING_DESTINATION_TEMPORARY, true));
        }
        for attributes in [&mut span, &mut metrics] {
            text(attributes, MESSAGING_DESTINATION_TEMPLATE, template);
            text(attributes, MESSAGING_DESTINATION_PARTITION_ID, facts.partition.as_ref());
            if action.consumes() {
                text(attributes, MESSAGING_CONSUMER_GROUP_NAME, facts.consumer_group.as_ref());
                text(attributes, MESSAGING_DESTINATION_SUBSCRIPTION_NAME, facts.subscription.as_ref());
            }
            if let Some((address, port)) = &facts.server {
                attributes.push(KeyValue::new(SERVER_ADDRESS, address.clone()));
                attributes.extend(port.map(|port| KeyValue::new(SERVER_PORT, i64::from(port))));
            }
        }
        metrics.push(operation_type);
        let span_name = match template.or(name) {
            Some(destination) => [operation_name, " ", destination.as_str()].concat(),
            None => operation_name.to_owned(),
        };
        Self { span_name, span, metrics, series: Series::default() }
    }
}
