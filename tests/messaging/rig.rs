//! A destination of its own, what it records, and how to say it in a line.

use std::{
    fmt,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use ctxhop::{carrier::Headers, messaging::Destination, propagation::TraceContextPropagator, testing::TraceRecorder};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapCompositePropagator,
    trace::{SpanContext, SpanId, TraceContextExt, TraceId, Tracer},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        PeriodicReader, SdkMeterProvider, Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
    propagation::BaggagePropagator,
    trace::SpanData,
};

pub(crate) const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(crate) const CREATION_TRACE: TraceId =
    TraceId::from_bytes(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
pub(crate) const CREATION: SpanId = SpanId::from_bytes(0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());

/// A destination of its own, and what it records.
pub(crate) struct Rig {
    pub(crate) recorder: TraceRecorder,
    meters: SdkMeterProvider,
    points: Points,
    pub(crate) orders: Destination,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with_recorder(TraceRecorder::new())
    }

    pub(crate) fn with_recorder(recorder: TraceRecorder) -> Self {
        let points = Points::default();
        let reader = PeriodicReader::builder(points.clone()).build();
        let meters = SdkMeterProvider::builder().with_reader(reader).build();
        let orders = Destination::new("rabbitmq", "orders");
        let rig = Self { recorder, meters, points, orders: orders.clone() };
        Self { orders: rig.connect(orders), ..rig }
    }

    /// Has the spans and metrics of a destination recorded here.
    pub(crate) fn connect(&self, destination: Destination) -> Destination {
        destination
            .with_tracer_provider(self.recorder.provider())
            .with_meter_provider(&self.meters)
            .with_propagator(propagator())
    }

    /// A context with a span of this program.
    pub(crate) fn ambient(&self) -> Context {
        Context::new().with_span(self.recorder.tracer("test").start("ambient"))
    }

    /// The only span of that name.
    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> SpanData {
        let mut spans: Vec<_> = self.recorder.spans().into_iter().filter(|span| span.name == name).collect();
        assert_eq!(spans.len(), 1, "spans named {name}");
        spans.remove(0)
    }

    /// `name=value{attributes}`, sorted; of histograms the number of values.
    pub(crate) fn metrics(&self) -> Vec<String> {
        self.points.0.lock().unwrap().clear();
        self.meters.force_flush().unwrap();
        let mut points = self.points.0.lock().unwrap().clone();
        points.sort();
        points
    }

    /// The sums of all histograms, in seconds.
    pub(crate) fn durations(&self) -> Vec<f64> {
        self.meters.force_flush().unwrap();
        self.points.1.lock().unwrap().clone()
    }
}

pub(crate) fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

/// The SDK's in-memory exporter is behind its feature for tests, which changes the API as well.
#[derive(Clone, Default)]
struct Points(Arc<Mutex<Vec<String>>>, Arc<Mutex<Vec<f64>>>);

impl PushMetricExporter for Points {
    fn export(&self, metrics: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        let mut points = self.0.lock().unwrap();
        for metric in metrics.scope_metrics().flat_map(|scope| {
            assert_eq!(scope.scope().name(), "ctxhop");
            // A new version may rename attributes: then look through src/conventions.rs, and the docs that name them.
            assert_eq!(scope.scope().schema_url(), Some("https://opentelemetry.io/schemas/1.42.0"));
            scope.metrics()
        }) {
            let mut point = |value: u64, attributes: Vec<KeyValue>| {
                points.push(format!("{}={value}{{{}}}", metric.name(), listed(&attributes)));
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    assert_eq!(metric.unit(), "{message}");
                    sum.data_points().for_each(|it| point(it.value(), it.attributes().cloned().collect()));
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    assert_eq!(metric.unit(), "s");
                    for it in histogram.data_points() {
                        let bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
                        assert!(it.bounds().eq(bounds));
                        self.1.lock().unwrap().push(it.sum());
                        point(it.count(), it.attributes().cloned().collect());
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        ready(Ok(()))
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Sorted, and without the prefix that most have.
pub(crate) fn listed(attributes: &[KeyValue]) -> String {
    let mut listed: Vec<_> = attributes
        .iter()
        .map(|it| format!("{}={}", it.key.as_str().trim_start_matches("messaging."), it.value.as_str()))
        .collect();
    listed.sort();
    listed.join(" ")
}

pub(crate) fn linked(span: &SpanData) -> Vec<SpanId> {
    span.links.iter().map(|link| link.span_context.span_id()).collect()
}

pub(crate) fn traced() -> Headers {
    Headers::from_iter([("traceparent", PARENT)])
}

pub(crate) fn current() -> SpanContext {
    Context::current().span().span_context().clone()
}

#[derive(Debug, PartialEq)]
pub(crate) struct NoApples;

impl fmt::Display for NoApples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no apples")
    }
}
