//! From OTLP's messages to the SDK's spans, which `opentelemetry-proto` has the way there for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{self as common, any_value},
    trace::v1::{Span, SpanFlags, span, status},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanLinks},
};

pub(crate) fn spans(request: ExportTraceServiceRequest) -> Vec<(Resource, SpanData)> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let said = of_resource.resource.unwrap_or_default().attributes;
        let resource = Resource::builder_empty().with_attributes(attributes(said)).build();
        for of_scope in of_resource.scope_spans {
            let scope = scope(of_scope.scope.unwrap_or_default());
            spans.extend(of_scope.spans.into_iter().map(|span| (resource.clone(), data(span, scope.clone()))));
        }
    }
    spans
}

fn scope(scope: common::InstrumentationScope) -> InstrumentationScope {
    InstrumentationScope::builder(scope.name).with_version(scope.version).build()
}

fn data(span: Span, instrumentation_scope: InstrumentationScope) -> SpanData {
    let mut events = SpanEvents::default();
    events.dropped_count = span.dropped_events_count;
    events.events = span
        .events
        .into_iter()
        .map(|event| {
            Event::new(
                event.name,
                time(event.time_unix_nano),
                attributes(event.attributes),
                event.dropped_attributes_count,
            )
        })
        .collect();
    let mut links = SpanLinks::default();
    links.dropped_count = span.dropped_links_count;
    links.links = span
        .links
        .into_iter()
        .map(|link| {
            let context = context(&link.trace_id, &link.span_id, link.flags, &link.trace_state);
            Link::new(context, attributes(link.attributes), link.dropped_attributes_count)
        })
        .collect();
    SpanData {
        span_context: context(&span.trace_id, &span.span_id, span.flags, &span.trace_state),
        parent_span_id: span_id(&span.parent_span_id),
        parent_span_is_remote: span.flags & SpanFlags::ContextIsRemoteMask as u32 != 0,
        span_kind: match span::SpanKind::try_from(span.kind) {
            Ok(span::SpanKind::Client) => SpanKind::Client,
            Ok(span::SpanKind::Server) => SpanKind::Server,
            Ok(span::SpanKind::Producer) => SpanKind::Producer,
            Ok(span::SpanKind::Consumer) => SpanKind::Consumer,
            Ok(span::SpanKind::Internal | span::SpanKind::Unspecified) | Err(_) => SpanKind::Internal,
        },
        name: span.name.into(),
        start_time: time(span.start_time_unix_nano),
        end_time: time(span.end_time_unix_nano),
        attributes: attributes(span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events,
        links,
        status: match span.status {
            Some(status) if status.code == status::StatusCode::Error as i32 => Status::error(status.message),
            Some(status) if status.code == status::StatusCode::Ok as i32 => Status::Ok,
            _ => Status::Unset,
        },
        instrumentation_scope,
    }
}

fn context(trace: &[u8], span: &[u8], flags: u32, state: &str) -> SpanContext {
    let trace = trace.try_into().map_or(TraceId::INVALID, TraceId::from_bytes);
    let flags = TraceFlags::new(flags.to_le_bytes()[0]);
    SpanContext::new(trace, span_id(span), flags, true, state.parse::<TraceState>().unwrap_or_default())
}

/// None is an invalid one.
fn span_id(bytes: &[u8]) -> SpanId {
    bytes.try_into().map_or(SpanId::INVALID, SpanId::from_bytes)
}

fn time(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn attributes(said: Vec<common::KeyValue>) -> Vec<KeyValue> {
    said.into_iter().map(|attribute| KeyValue::new(attribute.key, value(attribute.value.unwrap_or_default()))).collect()
}

/// Lists and maps as text, because nothing here looks into them.
fn value(said: common::AnyValue) -> Value {
    match said.value {
        None => Value::from(""),
        Some(any_value::Value::StringValue(text)) => text.into(),
        Some(any_value::Value::BoolValue(value)) => value.into(),
        Some(any_value::Value::IntValue(value)) => value.into(),
        Some(any_value::Value::DoubleValue(value)) => value.into(),
        Some(other) => format!("{other:?}").into(),
    }
}
