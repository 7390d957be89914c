use opentelemetry::{Context, trace::TraceContextExt};
use tracing::{dispatcher, info_span, level_filters::LevelFilter, subscriber::NoSubscriber};

use super::{Finding, unsampled_parent};
use crate::Snapshot;

pub(super) fn check() -> Option<Finding> {
    if dispatcher::get_default(|subscriber| subscriber.is::<NoSubscriber>()) {
        return Some(Finding::NoSubscriber);
    }
    let level = LevelFilter::current().min(tracing::level_filters::STATIC_MAX_LEVEL);
    if level < LevelFilter::INFO {
        return Some(Finding::SpansDisabled { level: level.to_string() });
    }
    unsampled_parent().run(|| {
        let probe = info_span!(target: "ctxhop::doctor", "ctxhop.doctor");
        if probe.is_disabled() {
            return Some(Finding::ProbeDisabled);
        }
        let outside = current_span();
        let inside = probe.in_scope(current_span);
        (inside == outside).then_some(Finding::NoContextInSpan)
    })
}

fn current_span() -> opentelemetry::SpanId {
    Context::map_current(|cx| cx.span().span_context().span_id())
}
