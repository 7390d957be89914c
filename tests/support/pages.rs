//! Traces to look at, with the same ids and times in every run.

use std::time::{Duration, SystemTime};

use ctxhop::testing::TraceTree;
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Event, Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanLinks},
};

use SpanKind::{Client, Consumer, Internal, Producer, Server};

pub(crate) fn context(trace: u64, id: u64) -> SpanContext {
    let state = TraceState::default();
    SpanContext::new(TraceId::from(u128::from(trace)), SpanId::from(id), TraceFlags::SAMPLED, false, state)
}

/// 2026-01-01, and so many microseconds.
pub(crate) fn at(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600) + Duration::from_micros(micros)
}

/// A span from `start` to `end`, in microseconds.
pub(crate) fn span(trace: u64, id: u64, parent: u64, name: impl Into<String>, start: u64, end: u64) -> SpanData {
    SpanData {
        span_context: context(trace, id),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: Internal,
        name: name.into().into(),
        start_time: at(start),
        end_time: at(end),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("example").with_version("1.0").build(),
    }
}

pub(crate) fn with(span: SpanData, kind: SpanKind, attributes: &[(&'static str, &str)]) -> SpanData {
    let attributes = attributes.iter().map(|&(key, value)| KeyValue::new(key, value.to_owned())).collect();
    SpanData { span_kind: kind, attributes, ..span }
}

pub(crate) fn linked(span: SpanData, to: impl IntoIterator<Item = SpanContext>) -> SpanData {
    let mut links = SpanLinks::default();
    links.links = to.into_iter().map(Link::with_context).collect();
    SpanData { links, ..span }
}

pub(crate) fn event(span: SpanData, name: &'static str, micros: u64, attributes: Vec<KeyValue>) -> SpanData {
    let mut events = span.events.clone();
    events.events.push(Event::new(name, at(micros), attributes, 0));
    SpanData { events, ..span }
}

pub(crate) fn failed(span: SpanData, why: &'static str) -> SpanData {
    SpanData { status: Status::error(why), ..span }
}

pub(crate) fn resource(service: &str) -> Resource {
    let version = KeyValue::new("service.version", "2.1.0");
    Resource::builder_empty().with_service_name(service.to_owned()).with_attribute(version).build()
}

pub(crate) fn tree<'a>(spans: impl IntoIterator<Item = (&'a str, SpanData)>) -> TraceTree {
    TraceTree::with_resources(spans.into_iter().map(|(service, span)| (resource(service), span)))
}

/// Three checkouts, over HTTP, gRPC and a broker. The second is processed twice, the third is refused.
pub(crate) fn shop() -> TraceTree {
    tree((1..=3).flat_map(checkout))
}

fn checkout(n: u64) -> Vec<(&'static str, SpanData)> {
    let id = |part| n * 100 + part;
    let t = |micros: u64| n * 50_000 + micros;
    let http = [("http.request.method", "POST"), ("http.route", "/api/checkout"), ("server.address", "localhost")];
    let rpc = [("rpc.system.name", "grpc"), ("rpc.method", "shop.Checkout/Process")];
    let pay = [("rpc.system.name", "grpc"), ("rpc.method", "shop.Payment/Charge")];
    let message = [
        ("messaging.system", "rabbitmq"),
        ("messaging.destination.name", "checkout.processed"),
        ("messaging.operation.name", "send"),
        ("messaging.operation.type", "send"),
    ];
    let taken = [
        ("messaging.system", "rabbitmq"),
        ("messaging.destination.name", "checkout.processed"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.message.id", "9f1c"),
    ];
    let buy = span(n, id(1), 0, "buy", t(0), t(9_400));
    let call = with(span(n, id(2), id(1), "POST", t(120), t(9_300)), Client, &http[..1]);
    let gateway = with(span(n, id(3), id(2), "POST /api/checkout", t(600), t(8_900)), Server, &http);
    let call_rpc = with(span(n, id(4), id(3), "shop.Checkout/Process", t(1_000), t(8_600)), Client, &rpc);
    let checkout = with(span(n, id(5), id(4), "shop.Checkout/Process", t(1_500), t(8_200)), Server, &rpc);
    let call_pay = with(span(n, id(6), id(5), "shop.Payment/Charge", t(1_700), t(5_000)), Client, &pay);
    let payment = with(span(n, id(7), id(6), "shop.Payment/Charge", t(2_100), t(4_600)), Server, &pay);
    let publish = with(span(n, id(8), id(5), "send checkout.processed", t(5_300), t(7_400)), Producer, &message);
    let attempt = |part, name: &str, start, end| {
        let span = with(span(n, id(part), 0, name, t(start), t(end)), Consumer, &taken);
        SpanData {
            parent_span_id: SpanId::from(id(8)),
            parent_span_is_remote: true,
            ..linked(span, [context(n, id(8))])
        }
    };
    let first = attempt(9, "process checkout.processed", 9_000, 12_000);
    let second = attempt(10, "process checkout.processed", 22_000, 24_500);
    let reserve = |part, parent, start, end| span(n, id(part), id(parent), "reserve", t(start), t(end));
    let checkout = event(checkout, "response", t(8_100), vec![KeyValue::new("order.id", format!("A-{n}"))]);

    let mut spans = vec![("shopper", buy), ("shopper", call)];
    if n == 3 {
        let why = "card declined";
        let thrown = vec![
            KeyValue::new("exception.type", "shop::payment::Declined"),
            KeyValue::new("exception.message", why),
            KeyValue::new("exception.stacktrace", "   0: shop::payment::charge\n   1: shop::checkout::process\n"),
        ];
        let end = |span: SpanData, micros| SpanData { end_time: at(t(micros)), ..failed(span, why) };
        spans.push(("gateway", end(gateway, 6_000)));
        spans.push(("gateway", end(call_rpc, 5_800)));
        spans.push(("checkout", end(checkout, 5_400)));
        spans.push(("checkout", failed(call_pay, why)));
        spans.push(("payment", event(failed(payment, why), "exception", t(4_400), thrown)));
        return spans;
    }
    spans.extend([("gateway", gateway), ("gateway", call_rpc), ("checkout", checkout), ("checkout", call_pay)]);
    spans.extend([("payment", payment), ("checkout", publish)]);
    if n == 2 {
        spans.push(("stock", failed(first, "no stock: item 7")));
        spans.push(("stock", reserve(11, 9, 9_500, 11_800)));
        spans.push(("stock", linked(second, [context(n, id(8)), context(n, id(9))])));
        spans.push(("stock", reserve(12, 10, 22_400, 24_300)));
    } else {
        spans.push(("stock", first));
        spans.push(("stock", reserve(11, 9, 9_500, 11_800)));
    }
    spans
}

/// What strangers might send, wherever text comes in.
pub(crate) const HOSTILE: &str = "</title></style></script><img src=x onerror=alert(1)>\"'`><svg/onload=alert(2)>\0\u{1}\r\u{202e}txt\u{2066}&amp;]]>";

/// The same everywhere.
pub(crate) fn hostile() -> TraceTree {
    let key: &'static str = HOSTILE;
    let attributes = || vec![KeyValue::new(key, HOSTILE), KeyValue::new("long", "ä".repeat(10_000))];
    let with = |span: SpanData, kind| {
        let span = event(SpanData { span_kind: kind, attributes: attributes(), ..span }, HOSTILE, 30, attributes());
        let mut span = failed(linked(span, [context(1, 2), context(9, 9)]), HOSTILE);
        span.links.links[0].attributes = attributes();
        span.instrumentation_scope = InstrumentationScope::builder(HOSTILE).with_version(HOSTILE).build();
        span
    };
    let spans = [
        (HOSTILE, with(span(1, 1, 0, HOSTILE, 0, 100), Client)),
        ("javascript:alert(3)", with(span(1, 2, 1, "x".repeat(5_000), 20, 80), Server)),
        (HOSTILE, with(span(1, 3, 7, "\n", 20, 80), Producer)),
        ("", with(span(2, 4, 0, "", 20, 80), Consumer)),
    ];
    let resource = |service| {
        Resource::builder_empty().with_service_name(service).with_attribute(KeyValue::new(key, HOSTILE)).build()
    };
    TraceTree::with_resources(spans.map(|(service, span)| (resource(service), span)))
}

/// A batch of notifications that is a trace of a thousand spans, in four services.
pub(crate) fn thousand() -> TraceTree {
    let mut spans = vec![("batch", span(1, 1, 0, "batch", 0, 400_000))];
    let sent = [("messaging.system", "kafka"), ("messaging.destination.name", "notifications")];
    let http = [("http.request.method", "POST"), ("http.route", "/send/{channel}"), ("server.port", "8080")];
    for n in 0..200_u64 {
        let id = 10 * (n + 1);
        let t = n * 1_500;
        let queued = 2_000 + n * 400;
        spans.push(("batch", with(span(1, id, 1, "send notifications", t, t + 700), Producer, &sent)));
        let process =
            with(span(1, id + 1, id, "process notifications", t + queued, t + queued + 9_000), Consumer, &sent);
        spans.push(("worker", linked(process, [context(1, id)])));
        let call = with(span(1, id + 2, id + 1, "POST", t + queued + 300, t + queued + 8_000), Client, &http);
        let serve =
            with(span(1, id + 3, id + 2, "POST /send/{channel}", t + queued + 900, t + queued + 7_000), Server, &http);
        let deliver =
            span(1, id + 4, id + 3, if n % 2 == 0 { "email" } else { "push" }, t + queued + 1_000, t + queued + 6_000);
        let bad = n % 17 == 5;
        let refused = |span| failed(event(span, "refused", t + queued + 2_000, Vec::new()), "address refused");
        let end = |span| if bad { refused(span) } else { span };
        spans.extend([("worker", end(call)), ("notify", end(serve)), ("notify", deliver)]);
    }
    tree(spans)
}

/// Services that call in circles, themselves and many others, by many operations; with names of all sizes.
pub(crate) fn tangle() -> TraceTree {
    let names =
        ["a", "orders", "warehouse-of-all-the-things-that-are-sold", "支払いサービス", "mail", "audit", "h", "cron"];
    let calls = [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 1),
        (1, 1),
        (0, 4),
        (0, 5),
        (1, 5),
        (2, 5),
        (3, 5),
        (5, 5),
        (6, 2),
        (4, 0),
        (1, 3),
        (3, 6),
    ];
    let mut spans = vec![(names[7], span(1, 1, 0, "tick", 0, 10))];
    for (n, (from, to)) in (0..).zip(calls) {
        for call in 0..=n % 6 {
            let id = 1_000 * (n + 1) + 10 * call;
            let route = format!("/{}/{call}", "long".repeat(n as usize % 5));
            let kind = if n % 3 == 2 { Producer } else { Client };
            let out = with(span(2 + n, id, 0, "call", n * 100, n * 100 + 90), kind, &[]);
            let into = span(2 + n, id + 1, id, "serve", n * 100 + 10, n * 100 + 80);
            let into = match n % 3 {
                2 => with(into, Consumer, &[("messaging.system", "nats"), ("messaging.destination.name", &route)]),
                _ => with(into, Server, &[("http.request.method", "GET"), ("http.route", &route)]),
            };
            spans.push((names[from], out));
            spans.push((names[to], if call == 1 { failed(into, "no") } else { into }));
        }
    }
    tree(spans)
}
