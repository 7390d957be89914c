use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram},
};

use super::{Metrics, common};
use crate::messaging::action::Action;

/// The metrics of an action with the attributes that it mostly has. The SDK looks them up once, at the first record: what
/// is bound earlier is exported as a zero.
#[derive(Clone, Default)]
pub(in crate::messaging) struct Series {
    duration: OnceLock<BoundHistogram<f64>>,
    messages: OnceLock<BoundCounter<u64>>,
}

impl Series {
    pub(in crate::messaging) fn record(
        &self,
        metrics: &Metrics,
        action: Action,
        duration: Duration,
        messages: u64,
        attributes: &[KeyValue],
    ) {
        if let Some(counter) = metrics.counter(action).filter(|_| messages > 0) {
            self.messages.get_or_init(|| counter.bind(common(attributes))).add(messages);
        }
        let (histogram, attributes) = metrics.histogram(action, attributes);
        self.duration.get_or_init(|| histogram.bind(attributes)).record(duration.as_secs_f64());
    }
}
