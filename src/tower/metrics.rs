use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};

use super::side::Side;
use crate::conventions::{
    BOUNDARIES, HTTP_CLIENT_REQUEST_DURATION, HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION,
    RPC_CLIENT_CALL_DURATION, RPC_SERVER_CALL_DURATION,
};

#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) http_duration: Histogram<f64>,
    pub(super) rpc_duration: Histogram<f64>,
    /// Only servers have it.
    pub(super) active: Option<UpDownCounter<i64>>,
}

impl Metrics {
    pub(super) fn new(side: Side, meter: &Meter) -> Self {
        let seconds = |name: &'static str, description: &'static str| {
            let histogram = meter.f64_histogram(name).with_unit("s").with_description(description);
            histogram.with_boundaries(BOUNDARIES.to_vec()).build()
        };
        match side {
            Side::Server => Self {
                http_duration: seconds(HTTP_SERVER_REQUEST_DURATION, "Duration of HTTP server requests."),
                rpc_duration: seconds(
                    RPC_SERVER_CALL_DURATION,
                    "Measures the duration of an incoming Remote Procedure Call (RPC).",
                ),
                active: Some(
                    meter
                        .i64_up_down_counter(HTTP_SERVER_ACTIVE_REQUESTS)
                        .with_unit("{request}")
                        .with_description("Number of active HTTP server requests.")
                        .build(),
                ),
            },
            Side::Client => Self {
                http_duration: seconds(HTTP_CLIENT_REQUEST_DURATION, "Duration of HTTP client requests."),
                rpc_duration: seconds(
                    RPC_CLIENT_CALL_DURATION,
                    "Measures the duration of an outgoing Remote Procedure Call (RPC).",
                ),
                active: None,
            },
        }
    }
}
