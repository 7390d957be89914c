//! A server and a client whose spans and metrics are recorded, and what holds for all of them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ctxhop::{
    propagation::TraceContextPropagator,
    tower::{Client, Server, TraceLayer},
};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapCompositePropagator,
    trace::{SpanKind, Status, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
        data::{AggregatedMetrics, MetricData},
    },
    propagation::BaggagePropagator,
    trace::{SdkTracer, SdkTracerProvider, ShouldSample, Span, SpanData, SpanProcessor},
};
use tokio::sync::watch;

use crate::probe::Probe;

#[derive(Clone)]
pub struct Rig {
    pub probe: Probe,
    pub provider: SdkTracerProvider,
    ended: Ended,
    meters: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

/// One value of a histogram or sum.
#[derive(Clone, Debug)]
pub struct Point {
    pub metric: String,
    pub value: f64,
    pub count: u64,
    pub attributes: Vec<KeyValue>,
}

impl Point {
    pub fn get(&self, key: &str) -> Option<String> {
        get(&self.attributes, key)
    }
}

pub fn get(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|it| it.key.as_str() == key).map(|it| it.value.as_str().into_owned())
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::sampled(opentelemetry_sdk::trace::Sampler::AlwaysOn)
    }

    pub fn sampled(sampler: impl ShouldSample + 'static) -> Self {
        let ended = Ended::default();
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(3600)).build();
        Self {
            probe: Probe::default(),
            provider: SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(ended.clone()).build(),
            ended,
            meters: SdkMeterProvider::builder().with_reader(reader).build(),
            exporter,
        }
    }

    pub fn server(&self) -> TraceLayer<Server> {
        TraceLayer::server()
            .with_tracer_provider(&self.provider)
            .with_meter_provider(&self.meters)
            .with_propagator(propagator())
    }

    pub fn client(&self) -> TraceLayer<Client> {
        TraceLayer::client()
            .with_tracer_provider(&self.provider)
            .with_meter_provider(&self.meters)
            .with_propagator(propagator())
    }

    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("test")
    }

    /// Starts and ends a span in what is current.
    pub fn span(&self, name: &'static str) {
        drop(self.tracer().start(name));
    }

    /// The spans of this kind, once there are so many.
    pub async fn ended(&self, kind: SpanKind, count: usize) -> Vec<SpanData> {
        let mut seen = self.ended.0.subscribe();
        let enough = seen.wait_for(|spans| spans.iter().filter(|span| span.span_kind == kind).count() >= count);
        match tokio::time::timeout(Duration::from_secs(20), enough).await {
            Ok(spans) => spans.unwrap().iter().filter(|span| span.span_kind == kind).cloned().collect(),
            Err(_) => panic!("{count} spans {kind:?} are not there after 20 s: {:#?}", self.spans()),
        }
    }

    pub fn spans(&self) -> Vec<SpanData> {
        self.ended.0.borrow().clone()
    }

    pub fn points(&self) -> Vec<Point> {
        self.exporter.reset();
        self.meters.force_flush().unwrap();
        let mut points = Vec::new();
        for resource in self.exporter.get_finished_metrics().unwrap() {
            for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
                let mut point = |value: f64, count, attributes: Vec<KeyValue>| {
                    points.push(Point { metric: metric.name().to_owned(), value, count, attributes });
                };
                match metric.data() {
                    AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                        sum.data_points()
                            .for_each(|it| point(it.value() as f64, 1, it.attributes().cloned().collect()));
                    }
                    AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                        assert_eq!(metric.unit(), "s");
                        histogram
                            .data_points()
                            .for_each(|it| point(it.sum(), it.count(), it.attributes().cloned().collect()));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        points
    }

    /// What holds for every request, however it ends: each span once, the metric's duration and `error.type` are the
    /// span's, and nothing is active any more.
    pub async fn check(&self, kind: SpanKind, expected: &[&str]) -> Vec<SpanData> {
        let spans = self.ended(kind.clone(), expected.len()).await;
        assert_eq!(spans.iter().map(line).collect::<Vec<_>>(), expected, "{kind:?}");
        let points = self.points();
        let side = if kind == SpanKind::Server { ".server." } else { ".client." };
        let durations: Vec<_> =
            points.iter().filter(|it| it.metric.contains(side) && it.metric.ends_with(".duration")).collect();
        assert_eq!(durations.iter().map(|it| it.count).sum::<u64>(), spans.len() as u64, "{durations:#?}");
        let seconds: f64 =
            spans.iter().map(|span| span.end_time.duration_since(span.start_time).unwrap().as_secs_f64()).sum();
        let measured: f64 = durations.iter().map(|it| it.value).sum();
        assert!((seconds - measured).abs() < 1e-8, "the spans took {seconds}, the metric says {measured}");
        for key in ["error.type", "http.response.status_code", "rpc.response.status_code", "rpc.method", "http.route"] {
            let mut said: Vec<_> = spans.iter().map(|span| get(&span.attributes, key)).collect();
            let mut measured: Vec<_> =
                durations.iter().flat_map(|it| (0..it.count).map(|_| it.get(key)).collect::<Vec<_>>()).collect();
            said.sort();
            measured.sort();
            assert_eq!(said, measured, "{key}");
        }
        for active in points.iter().filter(|it| it.metric == "http.server.active_requests") {
            assert_eq!(active.value, 0.0, "{active:?}");
        }
        spans
    }

    /// Every place that was looked at is in the server's span, or in the client's.
    pub fn check_places(&self, server: Option<&SpanData>, client: Option<&SpanData>, places: &[&str]) {
        let notes = self.probe.notes();
        for (place, current) in &notes {
            let span = if place.starts_with("client: ") { client } else { server };
            if let Some(span) = span {
                assert_eq!(*current, span.span_context.span_id(), "{place}: {notes:?}");
            }
        }
        for place in places {
            assert!(notes.iter().any(|(noted, _)| noted == place), "{place} was not reached: {notes:?}");
        }
    }
}

/// A span in one line: its name, what its response said, and how it failed.
pub fn line(span: &SpanData) -> String {
    let get = |key| get(&span.attributes, key);
    let mut parts = vec![span.name.to_string()];
    parts.extend(get("http.response.status_code").or(get("rpc.response.status_code")));
    match (&span.status, get("error.type")) {
        (Status::Unset, None) => {}
        (Status::Error { description }, Some(error_type)) => parts.push(format!("({error_type}: {description})")),
        other => panic!("{other:?}"),
    }
    parts.join(" ")
}

pub fn propagator() -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())])
}

/// Keeps the spans that have ended, and wakes whoever waits for them.
#[derive(Clone, Debug)]
struct Ended(Arc<watch::Sender<Vec<SpanData>>>);

impl Default for Ended {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }
}

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.send_modify(|spans| spans.push(span));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A place for one value that a handler leaves for its test.
pub type Slot<T> = Arc<Mutex<Option<T>>>;
