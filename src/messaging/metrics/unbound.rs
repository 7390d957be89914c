use std::time::Duration;

use opentelemetry::KeyValue;

use super::Metrics;
use crate::messaging::action::Action;

/// The metrics of an action with the attributes that it mostly has. The SDK looks them up at each record.
#[derive(Clone, Default)]
pub(in crate::messaging) struct Series(());

impl Series {
    pub(in crate::messaging) fn record(
        &self,
        metrics: &Metrics,
        action: Action,
        duration: Duration,
        messages: u64,
        attributes: &[KeyValue],
    ) {
        metrics.record(action, duration, messages, attributes);
    }
}
