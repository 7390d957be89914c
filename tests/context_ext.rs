//! `parent_only` and `to_link`.

mod support;

use ctxhop::{prelude::*, testing::TraceRecorder};
use opentelemetry::{
    Context, KeyValue,
    trace::{TraceContextExt, Tracer},
};
use support::{tag, tagged};

#[test]
fn parent_only_keeps_identity_and_values_but_not_the_span() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let request = tagged("value").with_span(tracer.start("request"));
    let identity = request.span().span_context().clone();

    let parent_only = request.parent_only();
    assert_eq!(parent_only.run(tag), Some("value"));
    assert_eq!(parent_only.span().span_context(), &identity);
    assert!(!parent_only.span().span_context().is_remote());

    drop(request);
    assert_eq!(recorder.spans().len(), 1, "nothing keeps the request's span open");
    parent_only.span().set_attribute(KeyValue::new("late", true));
    assert!(recorder.spans()[0].attributes.is_empty(), "nor can it be changed");

    drop(tracer.start_with_context("late work", &parent_only));
    assert_eq!(recorder.tree().assert_single_trace().children()[0].name(), "late work");
}

#[test]
fn parent_only_keeps_suppression_and_works_without_a_span() {
    let suppressed = tagged("value").with_telemetry_suppressed().parent_only();
    assert!(suppressed.is_telemetry_suppressed());
    assert_eq!(suppressed.run(tag), Some("value"));
    assert!(!Context::new().parent_only().has_active_span());
}

#[test]
fn to_link_names_the_span_if_there_is_a_valid_one() {
    let recorder = TraceRecorder::new();
    let cx = Context::new().with_span(recorder.tracer("test").start("cause"));
    let link = cx.to_link().expect("a span");
    assert_eq!(&link.span_context, cx.span().span_context());
    assert!(link.attributes.is_empty());

    assert_eq!(Context::new().to_link(), None);
    assert_eq!(Context::new().with_remote_span_context(opentelemetry::trace::SpanContext::NONE).to_link(), None);
}
