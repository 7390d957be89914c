//! Trace contexts in other formats than W3C's, and peers that leave sampling open.

#![expect(
    deprecated,
    reason = "B3's propagator is deprecated with the exporter that it comes with, and there is no other"
)]

use ctxhop::{
    carrier::{self, Carrier, Headers},
    messaging::Destination,
    propagation::TraceContextPropagator,
    testing::TraceRecorder,
};
use ctxhop_brokers::mosquitto::Mosquitto;
use futures::StreamExt;
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator, text_map_propagator::FieldIter},
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use opentelemetry_zipkin::{B3Encoding, Propagator};
use rumqttc::v5::mqttbytes::{QoS, v5::PublishProperties};
use tokio::time::timeout;

use crate::{LIMIT, session::Session};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// B3, and which traces are sampled if their sender leaves it open: what the documentation of `propagation` shows.
#[derive(Debug)]
struct B3<P>(P, fn(TraceId) -> bool);

impl<P: TextMapPropagator> TextMapPropagator for B3<P> {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        if cx.span().span_context().is_valid() {
            self.0.inject_context(cx, injector);
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let received = self.0.extract_with_context(&Context::new(), extractor);
        let span = received.span().span_context().clone();
        if !span.is_valid() {
            return cx.clone();
        }
        let (flags, id) = (span.trace_flags().to_u8(), span.trace_id());
        let sampled = flags & 0b101 != 0 || flags == 0b10 && self.1(id);
        let flags = TraceFlags::default().with_sampled(sampled);
        cx.with_remote_span_context(SpanContext::new(id, span.span_id(), flags, true, span.trace_state().clone()))
    }

    fn fields(&self) -> FieldIter<'_> {
        self.0.fields()
    }
}

/// Reads `uber-trace-id`, which no crate does for this version of OpenTelemetry.
#[derive(Debug)]
struct Jaeger;

impl TextMapPropagator for Jaeger {
    fn inject_context(&self, _: &Context, _: &mut dyn Injector) {}

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let read = || {
            let [trace, span, _parent, flags]: [&str; 4] =
                extractor.get("uber-trace-id")?.split(':').collect::<Vec<_>>().try_into().ok()?;
            let flags = u8::from_str_radix(flags, 16).ok()?;
            let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
            let span = SpanContext::new(trace, span, TraceFlags::new(flags & 1), true, TraceState::default());
            Some(cx.with_remote_span_context(span))
        };
        read().unwrap_or_else(|| cx.clone())
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

fn propagator(sampled: fn(TraceId) -> bool) -> TextMapCompositePropagator {
    TextMapCompositePropagator::new(vec![
        Box::new(Jaeger),
        Box::new(B3(Propagator::with_encoding(B3Encoding::SingleAndMultiHeader), sampled)),
        Box::new(TraceContextPropagator::new()),
    ])
}

fn extracted(sampled: fn(TraceId) -> bool, carrier: &impl Carrier) -> SpanContext {
    carrier::extract_with(&propagator(sampled), carrier).span().span_context().clone()
}

fn properties<const N: usize>(pairs: [(&str, &str); N]) -> PublishProperties {
    let user_properties = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    PublishProperties { user_properties, ..Default::default() }
}

/// In whatever form and case, and whatever the carrier.
#[test]
fn b3_is_read_from_any_carrier() {
    let single = format!("{TRACE}-{SPAN}");
    for (pairs, unsaid, no) in [
        (vec![("b3", format!("{single}-1"))], 1, 1),
        (vec![("B3", format!("{single}-0"))], 0, 0),
        (vec![("b3", format!("{single}-d"))], 1, 1),
        (vec![("b3", single.clone())], 1, 0),
        (vec![("X-B3-TraceId", TRACE.to_owned()), ("X-B3-SpanId", SPAN.to_owned())], 1, 0),
        (
            vec![
                ("x-b3-traceid", TRACE.to_owned()),
                ("x-b3-spanid", SPAN.to_owned()),
                ("x-b3-sampled", "0".to_owned()),
            ],
            0,
            0,
        ),
        (
            vec![("x-b3-traceid", TRACE.to_owned()), ("x-b3-spanid", SPAN.to_owned()), ("x-b3-flags", "1".to_owned())],
            1,
            1,
        ),
    ] {
        let pairs: Vec<(String, String)> = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let properties = PublishProperties { user_properties: pairs.clone(), ..Default::default() };
        let json: serde_json::Map<_, _> =
            pairs.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
        let headers = Headers::from_iter(pairs.clone());
        for (sampled, flags) in [((|_| true) as fn(TraceId) -> bool, unsaid), (|_| false, no)] {
            let span = extracted(sampled, &properties);
            assert_eq!(
                (span.trace_id().to_string(), span.span_id().to_string()),
                (TRACE.into(), SPAN.into()),
                "{pairs:?}"
            );
            assert_eq!(span.trace_flags().to_u8(), flags, "{pairs:?}");
            assert_eq!(extracted(sampled, &json), span);
            assert_eq!(extracted(sampled, &headers), span);
        }
    }
}

#[test]
fn a_choice_by_the_trace_id_is_the_same_everywhere() {
    let by_id = |id: TraceId| u128::from_be_bytes(id.to_bytes()).is_multiple_of(2);
    for (last, sampled) in [("6", true), ("7", false)] {
        let trace = format!("{}{last}", &TRACE[..31]);
        let span = extracted(by_id, &properties([("b3", &format!("{trace}-{SPAN}"))]));
        assert_eq!(span.is_sampled(), sampled, "{trace}");
    }
}

#[test]
fn the_last_format_that_is_read_wins() {
    let b3 = format!("{TRACE}-{SPAN}");
    let both = properties([("traceparent", OTHER), ("b3", &b3)]);
    assert_eq!(extracted(|_| true, &both).trace_id().to_string(), OTHER[3..35]);
    let broken = properties([("traceparent", "00-0-0-01"), ("b3", &b3)]);
    assert_eq!(extracted(|_| true, &broken).trace_id().to_string(), TRACE);
}

#[test]
fn uber_trace_id_is_read_by_a_propagator_of_ones_own() {
    for (flags, sampled) in [("1", true), ("0", false), ("3", true)] {
        let span = extracted(|_| true, &properties([("Uber-Trace-Id", &format!("{TRACE}:{SPAN}:0:{flags}"))]));
        assert_eq!((span.trace_id().to_string(), span.is_sampled()), (TRACE.to_owned(), sampled));
    }
    assert!(!extracted(|_| true, &properties([("uber-trace-id", "1:2:3")])).is_valid());
}

/// Without a wrapper, the crate's propagator asks all receivers not to sample, and leaves a trace out that was not decided.
#[test]
fn what_the_wrapper_is_for() {
    let b3 = Propagator::with_encoding(B3Encoding::SingleHeader);
    let mut headers = Headers::new();
    carrier::inject_with(&b3, &Context::new(), &mut headers);
    assert_eq!(headers.get("b3"), Some("0"));
    let undecided = Headers::from_iter([("b3", format!("{TRACE}-{SPAN}"))]);
    assert!(!carrier::extract_with(&b3, &undecided).span().span_context().is_sampled());

    let mut headers = Headers::new();
    assert!(!carrier::inject_with(&propagator(|_| true), &Context::new(), &mut headers));
    assert!(headers.is_empty());
}

/// Over the broker: a peer's trace goes on in all formats, and what an earlier sender has said of sampling is replaced.
#[tokio::test]
async fn a_peer_that_leaves_sampling_open_is_sampled_or_not_as_the_user_says() {
    let server = Mosquitto::start();
    let mut session = Session::start(&server, "billing").await;
    session.subscribe("orders").await;
    for sampled in [true, false] {
        let choice: fn(TraceId) -> bool = if sampled { |_| true } else { |_| false };
        let by_parent = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        let recorder = TraceRecorder::with_provider(SdkTracerProvider::builder().with_sampler(by_parent));
        let orders = Destination::new("mqtt", "orders").with_propagator(propagator(choice));
        let orders = orders.with_tracer_provider(recorder.provider());

        let peers = properties([("x-b3-traceid", TRACE), ("via", "a"), ("x-b3-spanid", SPAN)]);
        let publish = session.client.publish_with_properties("orders", QoS::AtLeastOnce, false, "", peers);
        publish.await.unwrap();
        let delivery = timeout(LIMIT, session.deliveries.next()).await.unwrap().unwrap();

        let mut on = properties([("x-b3-sampled", "stale"), ("via", "b")]);
        orders.process(&delivery).run(|| orders.send(&mut on).run(|| ()));
        assert_eq!(recorder.spans().len(), if sampled { 2 } else { 0 });
        let flag = if sampled { "1" } else { "0" };
        let sent = extracted(choice, &on);
        assert_eq!((sent.trace_id().to_string(), sent.is_sampled()), (TRACE.to_owned(), sampled));
        let get = |key| on.get_all(key).collect::<Vec<_>>();
        assert_eq!((get("x-b3-sampled"), get("via")), (vec![flag], vec!["b"]));
        assert!(get("traceparent")[0].ends_with(&format!("-0{flag}")) && get("b3")[0].ends_with(&format!("-{flag}")));
    }
}
