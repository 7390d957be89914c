use std::{fmt, sync::Arc};

use opentelemetry::{Key, KeyValue, StringValue, Value};

use super::{Classify, Failure, span::Open};
use crate::conventions::MESSAGING_MESSAGE_ID;

/// What an operation's result tells about it. [`Operation::on_ok`](super::Operation::on_ok) gives it to your function.
pub struct Report<'a> {
    open: &'a mut Open,
    failure: Option<Failure>,
}

impl<'a> Report<'a> {
    /// Ends the operation with what its outcome tells.
    pub(super) fn conclude<R>(open: &'a mut Open, outcome: &R, classify: impl Classify<R>) {
        let mut report = Self { open, failure: None };
        let failure = classify.classify(outcome, &mut report);
        let failure = failure.or(report.failure);
        report.open.end(failure);
    }

    /// The work has failed, although its result is an `Ok`.
    pub fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// The id that the broker gave to the message.
    pub fn message_id(&mut self, id: impl Into<Arc<str>>) {
        self.open.say(|| KeyValue::new(MESSAGING_MESSAGE_ID, StringValue::from(id.into())));
    }

    /// The partition that the message went to; also on the metrics. The destination's own partition, if it has one, stays.
    pub fn partition(&mut self, id: impl Into<Arc<str>>) {
        self.open.partition(id.into().into());
    }

    /// Any other attribute: an offset, a sequence number.
    pub fn attribute(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        self.open.say(|| KeyValue::new(key, value));
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt("Report", f)
    }
}
