use opentelemetry::{
    Context, KeyValue,
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
    let received = read(&headers);

    let mut findings = Vec::new();
    if !same_span(&sent, &received) {
        findings.push(Finding::NoTraceContext);
    }
    if received.baggage().get("ctxhop.doctor").is_none_or(|value| value.as_str() != "whole") {
        findings.push(Finding::NoBaggage);
    }
    let malformed = Headers::from_iter([("traceparent", MALFORMED)]);
    if read(&malformed).span().span_context().is_valid() {
        findings.push(Finding::LenientPropagator);
    }
    findings
}

/// Not `extract`, which strict mode takes for the receipt of a message.
fn read(headers: &Headers) -> Context {
    carrier::read(headers).unwrap_or_else(carrier::Rejected::into_context)
}

fn same_span(a: &Context, b: &Context) -> bool {
    let (a, b) = (a.span(), b.span());
    let (a, b) = (a.span_context(), b.span_context());
    (a.trace_id(), a.span_id(), a.is_sampled()) == (b.trace_id(), b.span_id(), b.is_sampled())
}
