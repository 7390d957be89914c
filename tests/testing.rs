//! The tree loses no span, whatever the ids; the drawing is the same in every run.

use std::{
    collections::HashMap,
    panic, thread,
    time::{Duration, SystemTime},
};

use ctxhop::testing::{Parent, TraceNode, TraceRecorder, TraceTree};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer},
};
use opentelemetry_sdk::trace::{SpanData, SpanLinks};
use proptest::{collection::vec, prelude::*, sample::Index};
use static_assertions::assert_impl_all;

assert_impl_all!(TraceTree: Send, Sync, Clone, std::fmt::Debug, std::fmt::Display);
assert_impl_all!(TraceNode: Send, Sync, std::fmt::Debug);

// Spans made by hand.

fn context(trace: u128, id: u64) -> SpanContext {
    let state = TraceState::default();
    SpanContext::new(TraceId::from(trace), SpanId::from(id), TraceFlags::SAMPLED, false, state)
}

/// A span of trace 1 that starts when its id says, and takes a millisecond.
fn span(id: u64, parent: u64, name: &'static str) -> SpanData {
    SpanData {
        span_context: context(1, id),
        parent_span_id: SpanId::from(parent),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: at(id),
        end_time: at(id + 1),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn links(to: impl IntoIterator<Item = SpanContext>) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links.extend(to.into_iter().map(Link::with_context));
    links
}

fn text(tree: &TraceTree) -> String {
    tree.display().durations(false).to_string()
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a TraceNode>) -> Vec<&'a str> {
    nodes.into_iter().map(TraceNode::name).collect()
}

// The tree.

#[test]
fn asks_and_answers() {
    let spans = [span(4, 3, "leaf"), span(1, 0, "root"), span(2, 1, "leaf"), span(3, 1, "branch"), span(5, 0, "other")];
    let tree = TraceTree::new(spans);
    assert_eq!(names(tree.roots()), ["root", "other"]);
    assert_eq!(tree.trace_count(), 1);
    let root = &tree.roots()[0];
    assert_eq!(names(root.children()), ["leaf", "branch"]);
    assert_eq!(names(root.descendants()), ["root", "leaf", "branch", "leaf"]);
    assert_eq!((root.parent(), root.children()[0].parent()), (Parent::None, Parent::Recorded));
    assert_eq!(tree.find("leaf").unwrap().span().span_context.span_id(), SpanId::from(2));
    let leaves: Vec<_> = tree.find_all("leaf").map(|leaf| leaf.span().span_context.span_id()).collect();
    assert_eq!(leaves, [SpanId::from(2), SpanId::from(4)]);
    assert!(tree.find("no such").is_none());
    assert_eq!(format!("{tree:?}"), "TraceTree { traces: 1, roots: 2, spans: 5, open: 0 }");
    assert!(format!("{root:?}").ends_with("parent: None, children: 2 }"));
}

/// What an assertion says when it fails.
fn panic_of<R>(assertion: impl FnOnce() -> R) -> String {
    let panic = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(assertion()))).unwrap_err();
    *panic.downcast::<String>().unwrap_or_else(|payload| Box::new(payload.downcast_ref::<&str>().unwrap().to_string()))
}

#[test]
fn asserts_a_single_trace() {
    let single = TraceTree::new([span(1, 0, "root"), span(2, 1, "child")]);
    assert_eq!(single.assert_single_trace().name(), "root");
    let remote = TraceTree::new([SpanData { parent_span_is_remote: true, ..span(1, 9, "root") }]);
    assert_eq!(remote.assert_single_trace().parent(), Parent::Remote);

    let says = |spans: Vec<SpanData>| panic_of(|| TraceTree::new(spans).assert_single_trace().name().to_owned());
    assert_eq!(says(Vec::new()), "expected a single trace, but there are no finished spans\n");
    assert_eq!(
        says(vec![span(1, 9, "orphan")]),
        "expected a single trace, but the parent of the root \"orphan\" is missing:\norphan (parent not recorded) 1.00ms"
    );
    assert_eq!(
        says(vec![span(1, 0, "root"), in_trace(2, span(1, 0, "other")), span(2, 1, "child")]),
        "expected a single trace, but there are 2 roots in 2 traces:\nroot 1.00ms\n└─ child 1.00ms\nother 1.00ms"
    );
    assert_eq!(
        says(vec![span(1, 0, "root"), span(2, 0, "piece")]),
        "expected a single trace, but there are 2 roots in 1 trace:\nroot 1.00ms\npiece 1.00ms"
    );
}

#[test]
fn asserts_how_many_traces_there_are() {
    let spans = || vec![span(1, 0, "one"), span(2, 1, "child"), in_trace(2, span(3, 0, "two"))];
    let two = TraceTree::new(spans());
    assert_eq!(names(two.assert_traces(2)), ["one", "two"]);
    assert!(TraceTree::new([]).assert_traces(0).is_empty());

    let says = |spans: Vec<SpanData>, n| panic_of(|| drop(TraceTree::new(spans).assert_traces(n)));
    let drawn = "one 1.00ms\n└─ child 1.00ms\ntwo 1.00ms";
    assert_eq!(says(spans(), 1), format!("expected 1 trace, but there are 2 roots in 2 traces:\n{drawn}"));
    assert_eq!(says(spans(), 3), format!("expected 3 traces, but there are 2 roots in 2 traces:\n{drawn}"));
    assert_eq!(
        says(vec![span(1, 0, "one")], 2),
        "expected 2 traces, but there is 1 root:\none 1.00ms",
        "one is not two"
    );
    // As many roots as asked for, but they are pieces of one trace.
    assert_eq!(
        says(vec![span(1, 0, "one"), span(2, 0, "piece")], 2),
        "expected 2 traces, but there are 2 roots in 1 trace:\none 1.00ms\npiece 1.00ms"
    );
    // As many traces as asked for, but one is in pieces.
    let pieces = [spans(), vec![span(4, 0, "piece")]].concat();
    assert_eq!(
        says(pieces.clone(), 2),
        format!("expected 2 traces, but there are 3 roots in 2 traces:\n{drawn}\npiece 1.00ms")
    );
    assert_eq!(
        says(vec![span(1, 0, "one"), in_trace(2, span(3, 9, "two"))], 2),
        "expected 2 traces, but the parent of the root \"two\" is missing:\none 1.00ms\ntwo (parent not recorded) 1.00ms"
    );

    let tree = TraceTree::new(pieces);
    assert_eq!(tree.traces().into_iter().map(names).collect::<Vec<_>>(), [vec!["one", "piece"], vec!["two"]]);
}

/// The span with the same ids, in another trace.
fn in_trace(trace: u128, span: SpanData) -> SpanData {
    let id = span.span_context.span_id();
    let context = SpanContext::new(TraceId::from(trace), id, TraceFlags::SAMPLED, false, TraceState::default());
    SpanData { span_context: context, ..span }
}

#[test]
fn the_same_span_id_in_two_traces_is_two_spans() {
    let other = |span| in_trace(2, span);
    let tree = TraceTree::new([
        span(1, 0, "one"),
        span(2, 1, "child of one"),
        other(span(1, 0, "two")),
        other(span(2, 1, "child of two")),
    ]);
    assert_eq!(text(&tree), "one\n└─ child of one\ntwo\n└─ child of two");
    assert_eq!(tree.trace_count(), 2);
}

#[test]
fn a_parent_that_is_no_single_span_is_missing() {
    let own_parent = TraceTree::new([span(1, 1, "self"), span(2, 1, "child")]);
    assert_eq!(text(&own_parent), "self (parent not recorded)\n└─ child");

    let each_others = TraceTree::new([span(1, 2, "a"), span(2, 1, "b"), span(3, 2, "child of b")]);
    assert_eq!(text(&each_others), "a (parent not recorded)\nb (parent not recorded)\n└─ child of b");

    let same_id = TraceTree::new([span(1, 0, "one"), span(1, 0, "two"), span(2, 1, "child")]);
    assert_eq!(text(&same_id), "child (parent not recorded)\none\ntwo");
}

/// On a stack that recursion by level would overflow.
fn on_a_small_stack(f: impl FnOnce() + Send) {
    thread::scope(|scope| thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, f).unwrap().join().unwrap());
}

#[test]
fn deep_chains_do_not_overflow_the_stack() {
    const DEPTH: u64 = 100_000;
    on_a_small_stack(|| {
        let name = |id| if id == DEPTH { "leaf" } else { "link" };
        let tree = TraceTree::new((1..=DEPTH).map(|id| span(id, id - 1, name(id))));
        assert!(tree.find("leaf").unwrap().children().is_empty());
        assert_eq!(tree.assert_single_trace().descendants().count(), DEPTH as usize);
        assert_eq!(format!("{:?}", tree.clone()), "TraceTree { traces: 1, roots: 1, spans: 100000, open: 0 }");
        drop(tree);

        let cycle = TraceTree::new((1..=DEPTH).map(|id| span(id, id % DEPTH + 1, "on a cycle")));
        assert_eq!(cycle.roots().len(), DEPTH as usize);

        let tree = TraceTree::new((1..=2_000).map(|id| span(id, id - 1, "link")));
        for folded in [false, true] {
            let drawing = tree.display().durations(false).folded(folded).to_string();
            assert_eq!(drawing.lines().count(), 2_000);
            assert_eq!(drawing.lines().last().unwrap(), format!("{}└─ link", " ".repeat(3 * 1_998)));
        }
    });
}

#[test]
fn wide_trees_are_drawn() {
    const WIDTH: u64 = 100_000;
    let name = |id| if id == 1 { "root" } else { "child" };
    let tree = TraceTree::new((1..=WIDTH + 1).map(|id| span(id, u64::from(id > 1), name(id))));
    for durations in [false, true] {
        let drawing = tree.display().durations(durations);
        assert_eq!(drawing.to_string().lines().count(), WIDTH as usize + 1);
        assert_eq!(drawing.folded(true).to_string().lines().count(), 2);
    }
    assert_eq!(tree.display().durations(false).folded(true).to_string(), "root\n└─ child ×100000");
}

// The drawing.

#[test]
fn draws_kinds_statuses_and_links() {
    let publish = SpanData { span_kind: SpanKind::Producer, ..span(2, 1, "publish") };
    let deliver = SpanData {
        span_kind: SpanKind::Consumer,
        links: links([context(1, 2), context(7, 7), context(1, 1), context(1, 2)]),
        end_time: at(15),
        ..span(3, 2, "deliver")
    };
    let charge = SpanData {
        span_kind: SpanKind::Client,
        status: Status::error("card\ndeclined"),
        end_time: at(4) + Duration::from_nanos(1_234_567),
        ..span(4, 1, "charge")
    };
    let bare =
        SpanData { status: Status::error(""), end_time: at(5) + Duration::from_nanos(850), ..span(5, 4, "bare") };
    let fine = SpanData { status: Status::Ok, end_time: at(0), ..span(6, 1, "fine\t") };
    let root = SpanData { span_kind: SpanKind::Server, end_time: at(2_001), ..span(1, 0, "GET /") };
    let tree = TraceTree::new([fine, bare, deliver, publish, charge, root]);
    assert_eq!(
        tree.to_string(),
        r"GET / [server] 2.00s
├─ publish [producer] 1.00ms
│  └─ deliver [consumer] ~> GET /, publish ×2, unrecorded 12.00ms
├─ charge [client] ERROR: card\ndeclined 1.23ms
│  └─ bare ERROR 850ns
└─ fine\t OK 0ns"
    );
    assert_eq!(
        text(&tree),
        r"GET / [server]
├─ charge [client] ERROR: card\ndeclined
│  └─ bare ERROR
├─ fine\t OK
└─ publish [producer]
   └─ deliver [consumer] ~> GET /, publish ×2, unrecorded"
    );
}

#[test]
fn draws_what_a_recorder_recorded() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let remote = context(1, 1);
    let remote = SpanContext::new(remote.trace_id(), remote.span_id(), TraceFlags::SAMPLED, true, TraceState::NONE);
    let request = tracer.start_with_context("request", &Context::new().with_remote_span_context(remote));
    let request = Context::new().with_span(request);
    drop(tracer.start_with_context("child", &request));
    assert_eq!(text(&recorder.tree()), "child (parent still open: request)");
    drop(request);
    assert_eq!(text(&recorder.tree()), "request (remote parent)\n└─ child");
    drop(tracer.start_with_context("other", &Context::new()));
    assert_eq!(text(&recorder.tree()), "other\nrequest (remote parent)\n└─ child");
    assert_eq!(recorder.tree().trace_count(), 2);
}

#[test]
fn tells_an_open_parent_from_a_lost_one() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let open = Context::new().with_span(tracer.start("still\n\"öpen\""));
    let lost = Context::new().with_remote_span_context(context(7, 7));
    drop(tracer.start_with_context("child of open", &open));
    let tree = recorder.tree();
    assert_eq!(tree.roots()[0].parent(), Parent::Open);
    assert_eq!(tree.open_spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["still\n\"öpen\""]);
    assert_eq!(
        panic_of(|| tree.display().durations(false).to_string() + tree.assert_single_trace().name()).lines().next(),
        Some("expected a single trace, but the parent of the root \"child of open\" is still open:")
    );
    assert_eq!(text(&tree), r#"child of open (parent still open: still\n"öpen")"#, "only what is no text is escaped");

    drop(tracer.start_with_context("another", &open));
    assert_eq!(
        panic_of(|| recorder.tree().assert_single_trace().name().to_owned()).lines().next(),
        Some(
            "expected a single trace, but there are 2 roots in 1 trace, and the parent of \"child of open\" is still open:"
        )
    );
    recorder.clear();
    drop(tracer.start_with_context("child of open", &open));
    drop(tracer.start_with_context("child of lost", &lost));
    let _second = tracer.start("fetch");
    let _third = tracer.start("fetch");
    let message = panic_of(|| recorder.tree().assert_single_trace().name().to_owned());
    assert!(message.starts_with("expected a single trace, but there are 2 roots in 2 traces:\n"), "{message}");
    assert!(message.contains("\nchild of lost (parent not recorded) "), "{message}");
    assert!(message.ends_with("\nstill open: fetch ×2, still\\n\"öpen\""), "{message}");

    drop(open);
    let (child, root) = ("child of open", r#"still\n"öpen""#);
    assert_eq!(text(&recorder.tree()), format!("child of lost (parent not recorded)\n{root}\n└─ {child}"));

    let nothing_ended = TraceRecorder::new();
    let _open = nothing_ended.tracer("test").start("open");
    assert_eq!(
        panic_of(|| nothing_ended.tree().assert_single_trace().name().to_owned()),
        "expected a single trace, but there are no finished spans\nstill open: open"
    );
}

#[test]
fn labels_are_drawn_sorted_and_folded_like_names() {
    let attribute = |value: &'static str| vec![KeyValue::new("service", value)];
    let tree = TraceTree::new([
        span(1, 0, "order"),
        SpanData { attributes: attribute("stock"), span_kind: SpanKind::Client, ..span(2, 1, "call") },
        SpanData { attributes: attribute("mail\r"), ..span(3, 1, "call") },
        SpanData { attributes: attribute("mail\r"), ..span(4, 1, "call") },
    ]);
    let label =
        |node: &TraceNode| node.span().attributes.iter().map(|attribute| format!("@{}", attribute.value)).collect();
    let drawing = tree.display().durations(false).label(&label);
    assert_eq!(
        drawing.folded(true).to_string(),
        r"order
├─ call ×2 @mail\r
└─ call @stock [client]"
    );
    assert_eq!(
        format!("{drawing:?}"),
        "TreeDisplay { tree: TraceTree { traces: 1, roots: 1, spans: 4, open: 0 }, durations: false, folded: false, .. }"
    );
}

#[test]
fn a_remote_parent_that_is_recorded_is_a_parent() {
    let tree = TraceTree::new([span(1, 0, "root"), SpanData { parent_span_is_remote: true, ..span(2, 1, "child") }]);
    assert_eq!(text(&tree), "root\n└─ child");
}

#[test]
fn folds_equal_siblings() {
    let tree = TraceTree::new([
        span(1, 0, "publish"),
        span(10, 1, "deliver"),
        span(11, 10, "ack"),
        span(12, 10, "ack"),
        span(20, 1, "deliver"),
        SpanData { end_time: at(24), ..span(21, 20, "ack") },
        SpanData { end_time: at(27), ..span(22, 20, "ack") },
        // Not equal, because their children differ.
        span(30, 1, "deliver"),
        span(31, 30, "nack"),
        span(40, 1, "audit"),
        span(50, 0, "publish"),
    ]);
    assert_eq!(
        tree.display().durations(false).folded(true).to_string(),
        "\
publish
publish
├─ audit
├─ deliver ×2
│  └─ ack ×2
└─ deliver
   └─ nack"
    );
    assert_eq!(
        tree.display().folded(true).to_string(),
        "\
publish 1.00ms
├─ deliver ×2 1.00ms
│  └─ ack ×2 1.00ms..5.00ms
├─ deliver 1.00ms
│  └─ nack 1.00ms
└─ audit 1.00ms
publish 1.00ms"
    );
    let roots = TraceTree::new([span(1, 0, "root"), span(2, 0, "root")]);
    assert_eq!(roots.display().durations(false).folded(true).to_string(), "root ×2");
    let linked = SpanData { span_kind: SpanKind::Consumer, links: links([context(1, 1)]), ..span(2, 1, "deliver") };
    let tree = TraceTree::new([span(1, 0, "root"), linked.clone(), SpanData { span_context: context(1, 3), ..linked }]);
    assert_eq!(tree.display().durations(false).folded(true).to_string(), "root\n└─ deliver ×2 [consumer] ~> root");
}

#[test]
fn draws_nothing_of_nothing() {
    assert_eq!(TraceTree::new([]).to_string(), "");
}

// The same shape draws the same text.

#[derive(Clone, Debug)]
struct Shape {
    /// Taken among the spans before; a root without.
    parent: Option<Index>,
    /// What kind of root it is.
    root: u8,
    label: u8,
    links: Vec<Option<Index>>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let links = prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<Option<Index>>(), 1..4)];
    let parent = prop::option::weighted(0.8, any::<Index>());
    (parent, 0_u8..3, 0_u8..5, links).prop_map(|(parent, root, label, links)| Shape { parent, root, label, links })
}

/// What differs from run to run: the ids, the times, the order in which spans and links come.
#[derive(Clone, Debug)]
struct Run {
    salt: u64,
    times: Vec<(u64, u64)>,
    order: Vec<usize>,
}

fn run(spans: usize) -> impl Strategy<Value = Run> {
    let times = vec((0_u64..20, 0_u64..20), spans);
    let order = Just((0..spans).collect::<Vec<_>>()).prop_shuffle();
    (any::<u64>(), times, order).prop_map(|(salt, times, order)| Run { salt: salt | 1, times, order })
}

fn build(shapes: &[Shape], run: &Run) -> TraceTree {
    // An odd factor keeps ids distinct. Traces number their spans alike, and so have span ids in common.
    let id = |number: u64| number.wrapping_mul(run.salt);
    let unrecorded = id(1);
    let mut ids = Vec::<(u128, u64)>::new();
    let mut in_trace = HashMap::new();
    let mut spans = Vec::new();
    for (index, shape) in shapes.iter().enumerate() {
        let parent = shape.parent.filter(|_| index > 0).map(|parent| ids[parent.index(index)]);
        let trace = parent.map_or_else(|| u128::from(id(index as u64 + 1)), |(trace, _)| trace);
        let number = in_trace.entry(trace).or_insert(1);
        *number += 1;
        ids.push((trace, id(*number)));
        let parent_of_root = if shape.root == 0 { 0 } else { unrecorded };
        let (start, length) = run.times[index];
        let mut span = SpanData {
            span_context: context(trace, ids[index].1),
            parent_span_is_remote: parent.is_none() && shape.root == 1,
            start_time: at(start),
            end_time: at(start + length),
            ..span(
                0,
                parent.map_or(parent_of_root, |(_, parent)| parent),
                ["a", "b", "c", "a", "b"][shape.label as usize],
            )
        };
        if shape.label > 2 {
            span.span_kind = SpanKind::Client;
            span.status = Status::error("broken");
        }
        spans.push(span);
    }
    for (span, shape) in spans.iter_mut().zip(shapes) {
        let to = |link: &Option<Index>| link.map_or((0, 0), |link| ids[link.index(shapes.len())]);
        span.links = links(shape.links.iter().map(to).map(|(trace, id)| context(trace, id)));
        if run.order[0] % 2 == 1 {
            span.links.links.reverse();
        }
    }
    TraceTree::new(run.order.iter().map(|&index| spans[index].clone()))
}

/// How many spans a folded drawing stands for.
fn unfold(drawing: &str) -> usize {
    let mut counts = Vec::new();
    let mut total = 0;
    for line in drawing.lines() {
        let depth = line.chars().take_while(|char| !char.is_alphabetic()).count() / 3;
        let label = line.trim_start_matches(|char: char| !char.is_alphabetic());
        let count = label[1..].strip_prefix(" ×").map_or(1, |count| count.split(' ').next().unwrap().parse().unwrap());
        counts.truncate(depth);
        counts.push(count);
        total += counts.iter().product::<usize>();
    }
    total
}

proptest! {
    #[test]
    fn the_same_spans_draw_the_same_text_in_every_run(
        (shapes, one, other) in vec(shape(), 1..30).prop_flat_map(|shapes| {
            let spans = shapes.len();
            (Just(shapes), run(spans), run(spans))
        })
    ) {
        let (one, other) = (build(&shapes, &one), build(&shapes, &other));
        for folded in [false, true] {
            let draw = |tree: &TraceTree| tree.display().durations(false).folded(folded).to_string();
            prop_assert_eq!(draw(&one), draw(&other));
        }
        let folded = one.display().durations(false).folded(true).to_string();
        prop_assert_eq!(unfold(&folded), shapes.len());
        prop_assert_eq!(unfold(&one.display().folded(true).to_string()), shapes.len());
        prop_assert!(folded.lines().count() <= text(&one).lines().count());
    }

    /// Ids by chance, so that they repeat, and parents make cycles.
    #[test]
    fn every_span_is_drawn_once_whatever_the_ids(
        ids in vec((0_u128..3, 0_u64..12, 0_u64..12, any::<bool>(), 0_u64..4), 0..40)
    ) {
        let name = |index: usize| format!("<{index}>");
        let spans = ids.iter().enumerate().map(|(index, &(trace, id, parent, remote, start))| SpanData {
            span_context: context(trace, id),
            parent_span_is_remote: remote,
            name: name(index).into(),
            start_time: at(start),
            ..span(0, parent, "")
        });
        let tree = TraceTree::new(spans);
        prop_assert_eq!(tree.roots().iter().flat_map(TraceNode::descendants).count(), ids.len());
        let again = tree.roots().iter().flat_map(TraceNode::descendants).map(|node| node.span().clone());
        prop_assert_eq!(text(&TraceTree::new(again)), text(&tree));
        for (durations, folded) in [(false, false), (false, true), (true, false), (true, true)] {
            let drawing = tree.display().durations(durations).folded(folded).to_string();
            prop_assert_eq!(drawing.lines().count(), ids.len());
            for index in 0..ids.len() {
                prop_assert_eq!(drawing.matches(&name(index)).count(), 1);
            }
        }
        for node in tree.roots().iter().flat_map(TraceNode::descendants) {
            for child in node.children() {
                prop_assert_eq!(child.parent(), Parent::Recorded);
                prop_assert_eq!(child.span().parent_span_id, node.span().span_context.span_id());
                prop_assert_eq!(child.span().span_context.trace_id(), node.span().span_context.trace_id());
            }
        }
    }
}
