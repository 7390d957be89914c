//! Which service calls which: from parents, from links, whatever the shape.

use ctxhop::testing::{ServiceEdge, ServiceEdgeKind, ServiceGraph, TraceNode, TraceRecorder, TraceTree};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, SpanData, SpanLinks},
};

use SpanKind::{Client, Consumer, Internal, Producer, Server};

fn context(id: u64) -> SpanContext {
    SpanContext::new(TraceId::from(1), SpanId::from(id), TraceFlags::SAMPLED, false, TraceState::default())
}

fn span(id: u64, parent: u64, kind: SpanKind) -> SpanData {
    SpanData {
        span_context: context(id),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: kind,
        name: format!("span {id}").into(),
        start_time: std::time::UNIX_EPOCH,
        end_time: std::time::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: Status::Unset,
        instrumentation_scope: Default::default(),
    }
}

fn links(to: impl IntoIterator<Item = u64>) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links = to.into_iter().map(|id| Link::with_context(context(id))).collect();
    links
}

fn with(span: SpanData, attributes: &[(&'static str, &'static str)]) -> SpanData {
    let attributes = attributes.iter().map(|&(key, value)| KeyValue::new(key, value)).collect();
    SpanData { attributes, ..span }
}

fn failed(span: SpanData) -> SpanData {
    SpanData { status: Status::error("no"), ..span }
}

fn graph(spans: impl IntoIterator<Item = (&'static str, SpanData)>) -> ServiceGraph {
    let resource = |name| Resource::builder_empty().with_service_name(name).build();
    TraceTree::with_resources(spans.into_iter().map(|(service, span)| (resource(service), span))).services()
}

/// Each edge as `from → to by ×count (errors)`.
fn edges(graph: &ServiceGraph) -> Vec<String> {
    let text = |edge: &ServiceEdge| {
        let arrow = if edge.kind == ServiceEdgeKind::Call { "→" } else { "⇢" };
        format!(
            "{} {arrow} {} [{}] [{}] {}/{}",
            edge.from, edge.to, edge.protocol, edge.operation, edge.errors, edge.count
        )
    };
    graph.edges().iter().map(text).collect()
}

/// Services `a` to `z`, each a span, with these calls.
fn calls(pairs: &[(&'static str, &'static str)]) -> String {
    let mut spans = Vec::new();
    for (n, &(from, to)) in (0..).step_by(2).zip(pairs) {
        spans.push((from, span(n + 1, 0, Client)));
        spans.push((to, span(n + 2, n + 1, Server)));
    }
    graph(spans).to_string()
}

#[test]
fn chains_branches_cycles_and_lone_services() {
    assert_eq!(calls(&[]), "");
    assert_eq!(calls(&[("a", "b"), ("b", "c")]), "[a] → [b] → [c]");
    assert_eq!(calls(&[("a", "b"), ("a", "b")]), "[a] → [b]", "each pair once");
    assert_eq!(calls(&[("a", "c"), ("a", "b"), ("b", "d")]), "[a] → [b] → [d]\n[a] → [c]", "fan-out");
    assert_eq!(calls(&[("a", "c"), ("b", "c"), ("c", "d")]), "[a] → [c] → [d]\n[b] → [c]", "several roots");
    assert_eq!(calls(&[("a", "b"), ("b", "c"), ("b", "d")]), "[a] → [b] → [c]\n[b] → [d]", "a branch further on");
    assert_eq!(calls(&[("b", "c"), ("c", "b")]), "[b] → [c] → [b]", "a cycle without a root");
    assert_eq!(calls(&[("z", "a"), ("a", "b"), ("b", "a")]), "[z] → [a] → [b] → [a]", "a cycle below a root");
    assert_eq!(calls(&[("a", "a")]), "[a] → [a]", "a service that calls itself");
    assert_eq!(graph([("b", span(1, 0, Internal)), ("a", span(2, 0, Internal))]).to_string(), "[a]\n[b]");
    // Deep enough for a stack to overflow.
    let names: Vec<&'static str> = (0..20_000).map(|n| &*format!("{n:05}").leak()).collect();
    let pairs: Vec<_> = names.windows(2).map(|pair| (pair[0], pair[1])).collect();
    assert_eq!(calls(&pairs).lines().count(), 1);
}

#[test]
fn calls_count_by_kind_or_where_the_service_changes() {
    let graph = graph([
        ("shop", span(1, 0, Internal)),
        // Within a service only a client's call of a server counts.
        ("shop", span(2, 1, Internal)),
        ("shop", span(3, 2, Client)),
        ("shop", span(4, 3, Server)),
        // No client's span, no server's span.
        ("stock", span(5, 4, Internal)),
        ("mail", span(6, 4, Server)),
        // Its parent is not recorded.
        ("mail", span(7, 70, Server)),
    ]);
    assert_eq!(
        edges(&graph),
        ["shop → mail [] [span 6] 0/1", "shop → shop [] [span 4] 0/1", "shop → stock [] [span 5] 0/1"]
    );
    let [mail, shop, stock] = graph.services() else { panic!("{graph:?}") };
    assert_eq!((&*mail.name, mail.spans), ("mail", 2));
    assert_eq!((&*shop.name, shop.spans), ("shop", 4));
    assert_eq!((&*stock.name, stock.spans, stock.errors), ("stock", 1, 0));
}

#[test]
fn says_by_what() {
    let http = [("http.request.method", "POST"), ("http.route", "/orders/{id}"), ("url.path", "/orders/7")];
    let client = [("http.request.method", "POST"), ("url.template", "/orders/{order}")];
    let rpc = [("rpc.system.name", "grpc"), ("rpc.method", "shop.Stock/Reserve"), ("http.request.method", "POST")];
    let old_rpc = [("rpc.system", "apache_dubbo"), ("rpc.service", "shop.Stock"), ("rpc.method", "Reserve")];
    let graph = graph([
        ("a", with(span(1, 0, Client), &client)),
        ("b", with(span(2, 1, Server), &http)),
        ("a", with(span(3, 0, Client), &client)),
        ("b", with(span(4, 3, Server), &client[..1])),
        ("a", with(span(5, 0, Client), &[("http.method", "GET")])),
        ("b", span(6, 5, Server)),
        ("a", span(7, 0, Client)),
        ("c", with(span(8, 7, Server), &rpc)),
        ("a", with(span(9, 0, Client), &old_rpc)),
        ("c", span(10, 9, Server)),
    ]);
    assert_eq!(
        edges(&graph),
        [
            "a → b [HTTP] [GET] 0/1",
            "a → b [HTTP] [POST /orders/{id}] 0/1",
            "a → b [HTTP] [POST /orders/{order}] 0/1",
            "a → c [apache_dubbo] [shop.Stock/Reserve] 0/1",
            "a → c [gRPC] [shop.Stock/Reserve] 0/1",
        ]
    );
    assert_eq!(graph.edges()[1].by(), "HTTP POST /orders/{id}");
}

#[test]
fn a_call_fails_where_either_end_says_so() {
    let graph = graph([
        ("a", failed(span(1, 0, Client))),
        ("b", SpanData { name: "x".into(), ..span(2, 1, Server) }),
        ("a", span(3, 0, Client)),
        ("b", failed(SpanData { name: "x".into(), ..span(4, 3, Server) })),
        ("a", failed(span(5, 0, Client))),
        ("b", failed(SpanData { name: "x".into(), ..span(6, 5, Server) })),
        ("a", span(7, 0, Client)),
        ("b", SpanData { name: "x".into(), ..span(8, 7, Server) }),
        // What the caller does besides is not the call's failure.
        ("a", failed(span(9, 0, Internal))),
        ("b", SpanData { name: "x".into(), ..span(10, 9, Server) }),
        ("a", failed(span(13, 0, Internal))),
        ("b", SpanData { name: "x".into(), ..span(14, 13, Server) }),
        // A message that arrives is processed or not, whatever its sender thought.
        ("a", failed(span(11, 0, Producer))),
        ("b", SpanData { name: "m".into(), ..span(12, 11, Consumer) }),
    ]);
    assert_eq!(edges(&graph), ["a → b [] [x] 3/6", "a ⇢ b [] [m] 0/1"]);
    assert_eq!(graph.edges()[0].error_share(), 0.5);
    assert_eq!(format!("{graph:#}"), "[a] → [b]\n[a] ⇢ [b]\na → b: x ×6, 3 failed (50 %)\na ⇢ b: m ×1");
    assert_eq!(graph.services()[0].errors, 5);
}

#[test]
fn messages_come_by_parents_and_by_links() {
    let sent = [("messaging.system", "rabbitmq"), ("messaging.destination.name", "orders")];
    let taken = [("messaging.system", "rabbitmq"), ("messaging.destination.name", "orders:new:stock")];
    let publish = |id| ("shop", with(span(id, 0, Producer), &sent));
    let process = |id, parent, to| SpanData { links: links(to), ..with(span(id, parent, Consumer), &taken) };
    let settle = |span| SpanData { attributes: vec![KeyValue::new("messaging.operation.type", "settle")], ..span };
    let by = "[rabbitmq] [orders]";

    let by_link = graph([publish(1), ("stock", process(2, 0, vec![1]))]);
    assert_eq!(edges(&by_link), [format!("shop ⇢ stock {by} 0/1")]);
    let by_both = graph([publish(1), ("stock", process(2, 1, vec![1, 1]))]);
    assert_eq!(edges(&by_both), [format!("shop ⇢ stock {by} 0/1")], "a message counts once");
    let batch = graph([publish(1), publish(2), ("stock", failed(process(3, 0, vec![1, 2, 9])))]);
    assert_eq!(edges(&batch), [format!("shop ⇢ stock {by} 2/2")]);
    let twice = [("stock", failed(process(2, 1, vec![1]))), ("stock", process(3, 1, vec![1, 2]))];
    let retried = graph([publish(1), twice[0].clone(), twice[1].clone()]);
    assert_eq!(edges(&retried), [format!("shop ⇢ stock {by} 1/2")], "an earlier attempt is no sender");
    let settled = graph([publish(1), ("stock", process(2, 1, vec![])), ("stock", settle(span(3, 1, Client)))]);
    assert_eq!(edges(&settled), [format!("shop ⇢ stock {by} 0/1")]);
    let to_itself = graph([publish(1), ("shop", process(2, 0, vec![1]))]);
    assert_eq!(edges(&to_itself), [format!("shop ⇢ shop {by} 0/1")]);
    let by_hand = graph([("shop", span(1, 0, Internal)), ("stock", process(2, 0, vec![1]))]);
    assert_eq!(edges(&by_hand), ["shop ⇢ stock [rabbitmq] [orders:new:stock] 0/1"], "no producer's span");
    // A span that links to another is no message.
    let no_message =
        graph([("shop", span(1, 0, Internal)), ("batch", SpanData { links: links([1]), ..span(2, 0, Internal) })]);
    assert_eq!(edges(&no_message), [""; 0]);
    // A topic of its own for each device would be an edge of its own.
    let topic = |name| {
        [("messaging.system", "mqtt"), ("messaging.destination.name", name), ("messaging.destination.template", "d/+")]
    };
    let templates = graph([
        ("a", with(span(1, 0, Producer), &topic("d/1"))),
        ("a", with(span(2, 0, Producer), &topic("d/2"))),
        ("b", SpanData { links: links([1]), ..span(3, 0, Consumer) }),
        ("b", SpanData { links: links([2]), ..span(4, 0, Consumer) }),
    ]);
    assert_eq!(edges(&templates), ["a ⇢ b [mqtt] [d/+] 0/2"]);
}

#[test]
fn what_is_received_and_processed_counts_once() {
    let receive = |id, to| {
        let attributes = vec![KeyValue::new("messaging.operation.type", "receive")];
        SpanData { attributes, links: links(to), ..span(id, 0, Client) }
    };
    let publish = |id| ("shop", span(id, 0, Producer));
    let graph = graph([
        publish(1),
        publish(2),
        ("stock", receive(3, vec![1, 2])),
        ("stock", SpanData { name: "process".into(), links: links([1]), ..span(4, 0, Consumer) }),
        ("audit", receive(5, vec![1])),
    ]);
    assert_eq!(
        edges(&graph),
        ["shop ⇢ audit [] [span 5] 0/1", "shop ⇢ stock [] [process] 0/1", "shop ⇢ stock [] [span 3] 0/1"]
    );
}

#[test]
fn what_is_received_below_its_sender_and_processed_counts_once() {
    let publish = || ("shop", span(1, 0, Producer));
    let consume = |id, parent, to: Option<u64>| SpanData { links: links(to), ..span(id, parent, Consumer) };
    let named = |name, span| SpanData { name: String::from(name).into(), ..span };
    for (kind, link) in [(Client, None), (Client, Some(1)), (Consumer, None), (Consumer, Some(1))] {
        let case = format!("{kind:?}, link {link:?}");
        let receive =
            with(SpanData { span_kind: kind, ..consume(3, 1, link) }, &[("messaging.operation.type", "receive")]);
        let receive = || ("stock", named("receive", receive.clone()));
        let received = "shop ⇢ stock [] [receive] 0/1";
        assert_eq!(edges(&graph([publish(), receive()])), [received], "{case}: not processed");
        for (parent, to) in [(1, None), (1, Some(1)), (3, Some(1))] {
            let processed = graph([publish(), receive(), ("stock", named("process", consume(4, parent, to)))]);
            assert_eq!(
                edges(&processed),
                ["shop ⇢ stock [] [process] 0/1"],
                "{case}: processed below {parent}, link {to:?}"
            );
        }
        let below = graph([publish(), receive(), ("stock", named("process", consume(4, 3, None)))]);
        assert_eq!(edges(&below), [received], "{case}: who processes it does not say where it comes from");
        let elsewhere = graph([publish(), receive(), ("audit", named("process", consume(4, 1, None)))]);
        assert_eq!(edges(&elsewhere), ["shop ⇢ audit [] [process] 0/1", received], "{case}: processed elsewhere");
        let by_hand = [("shop", span(1, 0, Internal)), receive(), ("stock", named("process", consume(4, 1, None)))];
        assert_eq!(edges(&graph(by_hand)), ["shop ⇢ stock [] [process] 0/1"], "{case}: no producer's span");
    }
}

#[test]
fn an_unknown_service_has_the_name_that_the_sdk_gives_it() {
    let unnamed = [Resource::builder_empty().build(), Resource::builder_empty().with_service_name("").build()];
    let tree = TraceTree::with_resources(unnamed.map(|resource| (resource, span(1, 0, Internal))));
    assert_eq!(tree.services().to_string(), "[unknown_service]");
    let tree = TraceTree::new([span(1, 0, Internal)]);
    assert_eq!(tree.roots()[0].service(), "unknown_service");
    assert_eq!(tree.roots()[0].resource(), None);
    let hostile = graph([("a\n\u{202e}b", span(1, 0, Internal))]);
    assert_eq!(hostile.to_string(), r"[a\n\u{202e}b]", "no name draws a line of its own, or turns one around");
}

#[test]
fn ids_that_make_no_tree_are_no_edges() {
    let graph = graph([
        ("a", span(1, 1, Client)),
        ("b", span(2, 3, Server)),
        ("c", span(3, 2, Server)),
        // Two spans with one id: nobody knows which is the parent.
        ("d", span(4, 0, Client)),
        ("d", span(4, 0, Client)),
        ("e", span(5, 4, Server)),
        ("f", SpanData { links: links([6, 4]), ..span(6, 0, Consumer) }),
    ]);
    assert_eq!(graph.to_string(), "[a]\n[d]\n[e]\n[f]\n[b] → [c] → [b]");
}

#[test]
fn one_recorder_keeps_the_spans_of_several_services() {
    let recorder = TraceRecorder::new();
    let (shop, stock) = (recorder.service("shop"), recorder.service("stock"));
    let (from, to) = (shop.tracer("test"), stock.tracer("test"));
    from.in_span("order", |_| to.in_span("reserve", |_| {}));
    let tree = stock.tree();
    let label = |node: &TraceNode| format!("@{}", node.service());
    let drawing = tree.display().durations(false).label(&label).to_string();
    assert_eq!(drawing, "order @shop\n└─ reserve @stock");
    assert_eq!(shop.spans().len(), 2, "any of them shows all");

    // Open spans have a service, too, and a service that goes takes only its own along.
    let call = Context::new().with_span(from.span_builder("call").with_kind(Client).start(&from));
    let _server = to.span_builder("serve").with_kind(Server).start_with_context(&to, &call);
    let graph = recorder.tree().services();
    assert_eq!(edges(&graph), ["shop → stock [] [reserve] 0/1", "shop → stock [] [serve] 0/1"]);
    assert_eq!(recorder.open_spans().len(), 2);
    shop.provider().shutdown().unwrap();
    assert_eq!(recorder.open_spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["serve"]);
}

#[test]
fn a_provider_that_is_added_keeps_its_settings() {
    let recorder = TraceRecorder::new();
    let off = SdkTracerProvider::builder().with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOff);
    let off = recorder.add_provider(off).tracer("test");
    off.start("dropped").end();
    assert!(recorder.spans().is_empty());
}
