use opentelemetry::{
    KeyValue,
    baggage::BaggageExt,
    trace::{TraceContextExt, TraceFlags},
};

use super::{Finding, parent};
use crate::carrier::{self, Headers};

/// A version of one digit, and ids of one digit.
const MALFORMED: &str = "0-1-1-1";

/// What goes into a message has to come out again.
pub(super) fn check() -> Vec<Finding> {
    let sent = parent(TraceFlags::SAMPLED).with_baggage([KeyValue::new("ctxhop.doctor", "whole")]);
    let mut headers = Headers::new();
    carrier::inject(&sent, &mut headers);
    if headers.is_empty() {
        return vec![Finding::NoPropagator];
    }
    let received = carrier::extract(&headers);

    let mut findings = Vec::new();
    if !same_span(&sent, &received) {
        findings.push(Finding::NoTraceContext);
    }
    if received.baggage().get("ctxhop.doctor").is_none_or(|value| value.as_str() != "whole") {
        findings.push(Finding::NoBaggage);
    }
    let malformed = Headers::from_iter([("traceparent", MALFORMED)]);
    if carrier::extract(&malformed).span().span_context().is_valid() {
        findings.push(Finding::LenientPropagator);
    }
    findings
}

fn same_span(a: &opentelemetry::Context, b: &opentelemetry::Context) -> bool {
    let (a, b) = (a.span(), b.span());
    let (a, b) = (a.span_context(), b.span_context());
    (a.trace_id(), a.span_id(), a.is_sampled()) == (b.trace_id(), b.span_id(), b.is_sampled())
}
