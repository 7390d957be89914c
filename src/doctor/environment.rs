use std::env;

use super::Finding;

/// Variables of [OpenTelemetry's specification](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/)
/// that the Rust SDK and its OTLP exporter do not read.
const IGNORED: [&str; 11] = [
    "OTEL_SDK_DISABLED",
    "OTEL_CONFIG_FILE",
    "OTEL_LOG_LEVEL",
    "OTEL_PROPAGATORS",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_METRICS_EXEMPLAR_FILTER",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
];

pub(super) fn check() -> impl Iterator<Item = Finding> {
    let set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    IGNORED.into_iter().filter(set).map(|name| Finding::IgnoredVariable { name })
}
