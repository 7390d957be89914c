use opentelemetry::{
    Context, global,
    trace::{Span as _, TraceContextExt, Tracer},
};

use super::{Finding, SPAN_NAME, unsampled_parent};

/// A no-op tracer gives a span with its parent's id; a provider that is shut down gives one without an id.
pub(super) fn check() -> Option<Finding> {
    if Context::map_current(Context::is_telemetry_suppressed) {
        return Some(Finding::TelemetrySuppressed);
    }
    let parent = unsampled_parent();
    let mut span = global::tracer(SPAN_NAME).start_with_context(SPAN_NAME, &parent);
    let finding = if !span.span_context().is_valid() {
        Some(Finding::TracerProviderShutDown)
    } else if span.span_context().span_id() == parent.span().span_context().span_id() {
        Some(Finding::NoTracerProvider)
    } else {
        None
    };
    span.end();
    finding
}
