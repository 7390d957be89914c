//! The messages of rumqttc on a real Mosquitto, one for each test: it starts in no time.

mod formats;
mod lost;
mod session;
mod settling;
mod topics;
mod version_3;

use std::time::Duration;

use ctxhop::messaging::Policy;
use ctxhop_brokers::rig::Rig;
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use tokio::time::Sleep;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn policy() -> Policy<impl Fn() -> Sleep + Clone> {
    Policy::within(LIMIT)
}

/// The spans of that name, in the order of their start.
fn spans(rig: &Rig, name: &str) -> Vec<SpanData> {
    let mut spans: Vec<_> = rig.recorder.spans().into_iter().filter(|span| span.name == name).collect();
    spans.sort_by_key(|span| span.start_time);
    spans
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|attribute| attribute.value.clone())
}
