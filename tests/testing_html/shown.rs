//! What the page shows of spans and of traces, and that strangers' text does no harm.

use ctxhop::testing::{TraceRecorder, TraceTree};
use opentelemetry::trace::{SpanKind, Tracer};
use opentelemetry_sdk::trace::SpanData;

use crate::{
    Element, elements, page,
    pages::{self, HOSTILE, context, linked, span, tree, with},
    rows,
};

#[test]
fn each_span_has_a_row_with_all_that_is_known_of_it() {
    let page = page(&pages::shop());
    let rows = rows(&page);
    assert_eq!(rows.len(), 29);
    assert_eq!(rows[0], "buy shopper 9.40ms");
    assert_eq!(rows[4], "shop.Checkout/Process checkout server ◆ 1 event 6.70ms");
    assert_eq!(rows[18], "process checkout.processed stock consumer ✖ no stock: item 7 ⇢ 1 link 3.00ms");
    assert_eq!(rows[20], "process checkout.processed stock consumer ⇢ 2 links 2.50ms");
    let elements = elements(&page);
    let cells: Vec<_> = elements.iter().filter(|element| element.tag == "td").map(|cell| &*cell.text).collect();
    assert!(cells.contains(&"shop::payment::Declined") && cells.contains(&"HTTP POST /api/checkout"));
    assert!(cells.contains(&"   0: shop::payment::charge\n   1: shop::checkout::process\n"), "lines stay lines");
    let facts = elements.iter().find(|element| element.has_class("facts")).unwrap();
    assert_eq!(facts.text, "5 services · 3 traces · 29 spans · ✖ 6 failed");
    assert!(page.contains("2026-01-01 00:00:00.050000 UTC"));
}

#[test]
fn equal_trees_give_the_same_page() {
    let spans = || (1..50).map(|n| ("a", span(n % 3 + 1, n, n / 2, format!("span {n}"), n, 100)));
    assert_eq!(page(&tree(spans())), page(&tree(spans())));
    assert_eq!(page(&tree(spans())), page(&tree(spans().collect::<Vec<_>>().into_iter().rev())));
}

#[test]
fn links_lead_to_spans_in_other_traces_and_back() {
    let spans = [
        ("a", span(1, 1, 0, "sent", 0, 10)),
        ("b", linked(span(2, 2, 0, "taken", 20, 30), [context(1, 1), context(7, 7), context(1, 1)])),
    ];
    let page = page(&tree(spans));
    let elements = elements(&page);
    let anchors: Vec<_> =
        elements.iter().filter(|element| element.tag == "a").map(|a| (&*a.attributes["href"], &*a.text)).collect();
    assert_eq!(anchors, [("#s2", "taken"), ("#s1", "sent"), ("#s1", "sent")], "back only once");
    assert!(page.contains("a span that is not recorded"));
}

#[test]
fn what_has_not_ended_is_marked_and_holds_what_is_below() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    tracer.in_span("outer", |_| {
        tracer.in_span("inner", |_| {});
        let page = page(&recorder.tree());
        let rows = rows(&page);
        assert!(rows[0].starts_with("outer ") && rows[0].ends_with(" … not ended –"), "{rows:?}");
        assert!(rows[1].starts_with("inner ") && !rows[1].contains("not recorded"), "{rows:?}");
        let levels: Vec<_> = elements(&page).iter().filter_map(|li| li.attributes.get("aria-level").cloned()).collect();
        assert_eq!(levels, ["1", "2"]);
        assert!(page.contains("this is as it was when it started"));
    });
}

#[test]
fn many_siblings_are_folded() {
    let children = |count| (0..count).map(|n| ("a", span(1, n + 2, 1, format!("child {}", n % 4), n, n + 1)));
    let with_root = |count| page(&tree([("a", span(1, 1, 0, "root", 0, 100))].into_iter().chain(children(count))));
    let folds = |page: &str| -> Vec<_> {
        let summaries = elements(page).into_iter().filter(|element| element.tag == "summary");
        summaries.map(|summary| summary.text).filter(|text| text.starts_with("More: ")).collect()
    };
    assert_eq!(folds(&with_root(25)), [""; 0]);
    assert_eq!(folds(&with_root(26)), ["More: child 0 ×2, child 1 ×2, child 2 ×1, others ×1 6 spans"]);
    assert_eq!(rows(&with_root(26)).len(), 27, "none is left out");
    // Roots of a trace, too; and folds in folds.
    assert_eq!(folds(&page(&tree(children(30)))).len(), 1);
    let grandchildren = (0..900).map(|n| ("a", span(1, 1_000 + n, 2 + n / 30, "x", 50 + n, 999)));
    assert_eq!(folds(&page(&tree(children(30).chain(grandchildren)))).len(), 31);
    assert_eq!(rows(&page(&pages::thousand())).len(), 1001);
}

#[test]
fn only_the_first_traces_are_unfolded() {
    let page = page(&tree((1..10).map(|n| ("a", span(n, n, 0, "x", n, n + 1)))));
    let elements = elements(&page);
    let traces: Vec<_> = elements.iter().filter(|element| element.has_class("trace")).collect();
    assert_eq!(traces.len(), 9);
    assert_eq!(traces.iter().filter(|trace| trace.attributes.contains_key("open")).count(), 5);
}

#[test]
fn odd_times_and_ids_and_depths_do_no_harm() {
    assert!(page(&TraceTree::new([])).contains("There are no spans."));
    // All at one time; an end before its start; an event before its trace; a span that is its own parent, and one twice.
    let instant = page(&tree([("a", span(1, 1, 0, "x", 5, 5))]));
    assert!(instant.contains("--l:0%;--w:0%"), "nothing takes part of no time");
    let back = pages::event(span(1, 1, 1, "x", 50, 40), "early", 1, Vec::new());
    let twice = [("a", back), ("a", span(1, 2, 0, "y", 45, 60)), ("a", span(1, 2, 0, "z", 45, 60))];
    assert_eq!(rows(&page(&tree(twice))).len(), 3);
    let deep = page(&tree((1..5_000).map(|n| ("a", span(1, n, n - 1, "x", n, 9_999)))));
    assert_eq!(rows(&deep).len(), 4_999);
    let before_1970 =
        SpanData { start_time: std::time::UNIX_EPOCH - std::time::Duration::from_secs(1), ..span(1, 1, 0, "x", 0, 1) };
    assert!(page(&tree([("a", before_1970)])).contains("1969-12-31 23:59:59.000000 UTC"));
}

// Strangers' text.

#[test]
fn all_text_is_escaped() {
    let page = pages::hostile().html().title(HOSTILE).to_string();
    let shown = HOSTILE.replace('\0', r"\u{0}").replace('\u{1}', r"\u{1}").replace('\r', r"\r");
    let shown = shown.replace('\u{202e}', r"\u{202e}").replace('\u{2066}', r"\u{2066}");
    let elements = elements(&page);
    for tag in ["title", "h1", "h3", "b", "th", "td", "a", "bdi", "text"] {
        let found = elements.iter().any(|element| element.tag == tag && element.text.contains(&shown[..20]));
        assert!(found, "<{tag}> shows it");
    }
    assert!(elements.iter().any(|element| element.tag == "td" && element.text == shown), "all of it");
    for bad in ["script", "img", "svg/onload=alert(2)", "iframe"] {
        assert!(elements.iter().all(|element| element.tag != bad), "<{bad}>");
    }
    let on = |element: &&Element| element.attributes.keys().any(|name| name.starts_with("on") || name == "src");
    assert!(!elements.iter().any(|element| on(&element)));
    let hidden = |c: char| c != '\n' && c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
    assert_eq!(page.chars().find(|&c| hidden(c)), None);
    assert!(page.contains("ä… (20000 bytes)"), "what is long is cut");
    assert!(page.contains("(no name)"), "what has no name can be clicked");
}

// The laws of the waterfall and of a span's details.

#[test]
fn a_bar_begins_and_ends_where_its_span_does() {
    let spans = [
        ("a", span(1, 1, 0, "all", 1_000, 2_000)),
        ("a", pages::event(span(1, 2, 1, "half", 1_250, 1_750), "mark", 1_100, Vec::new())),
        ("a", span(1, 3, 1, "end", 1_900, 2_000)),
        ("a", span(2, 4, 0, "first", 3_000, 3_001)),
        ("a", span(2, 5, 0, "late", 3_007, 3_008)),
    ];
    let page = page(&tree(spans));
    let elements = elements(&page);
    let styled = |tag: &str| -> Vec<_> {
        elements.iter().filter(|e| e.tag == tag).filter_map(|e| e.attributes.get("style").cloned()).collect()
    };
    let bars = ["--l:0%;--w:100%", "--l:25%;--w:50%", "--l:90%;--w:10%", "--l:0%;--w:12.5%", "--l:87.5%;--w:12.5%"];
    assert_eq!(styled("i"), bars);
    assert_eq!(styled("u"), ["--l:10%"]);
    let ticks: Vec<_> = elements.iter().filter(|e| e.has_class("ticks")).map(|e| &*e.text).collect();
    assert_eq!(ticks, ["0250.00µs500.00µs750.00µs1.00ms", "02.00µs4.00µs6.00µs8.00µs"]);
    let ids: Vec<_> =
        elements.iter().filter_map(|e| e.attributes.get("id")).filter(|id| *id != "bad" && *id != "arrow").collect();
    assert_eq!(ids, ["t1", "s1", "s2", "s3", "t2", "s4", "s5"], "each id once, and in order");
}

#[test]
fn durations_have_the_unit_that_keeps_them_short() {
    for (nanos, text) in [
        (0, "0ns"),
        (1, "1ns"),
        (999, "999ns"),
        (1_000, "1.00µs"),
        (1_004, "1.00µs"),
        (1_006, "1.01µs"),
        (999_994, "999.99µs"),
        (1_000_000, "1.00ms"),
        (999_994_000, "999.99ms"),
        (1_000_000_000, "1.00s"),
        (60_000_000_000, "60.00s"),
    ] {
        let mut span = span(1, 1, 0, "x", 0, 0);
        span.end_time += std::time::Duration::from_nanos(nanos);
        let rows = rows(&page(&tree([("a", span)])));
        assert_eq!(rows, [format!("x a {text}")], "{nanos}");
    }
}

/// The text of each span's details, with single spaces.
fn details(page: &str) -> Vec<String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    elements(page).iter().filter(|element| element.has_class("d")).map(|element| words(&element.text)).collect()
}

#[test]
fn details_say_what_there_is_and_nothing_of_what_there_is_not() {
    let plain = SpanData { instrumentation_scope: Default::default(), ..span(1, 1, 0, "plain", 0, 10) };
    let mut full = linked(span(1, 2, 1, "full", 3, 10), [context(1, 1), context(7, 8)]);
    full.links.links[0].attributes = vec![opentelemetry::KeyValue::new("why", "because")];
    full = pages::event(full, "mark", 5, vec![opentelemetry::KeyValue::new("size", 3)]);
    full = pages::event(with(full, SpanKind::Internal, &[("key", "value")]), "bare", 0, Vec::new());
    full = pages::failed(full, "it broke");
    (full.dropped_attributes_count, full.events.dropped_count, full.links.dropped_count) = (1, 2, 3);
    let remote = SpanData { parent_span_is_remote: true, ..pages::failed(span(2, 3, 9, "remote", 0, 10), "") };
    let page = page(&tree([("a", plain), ("b", full), ("c", remote), ("d", span(3, 4, 9, "lost", 0, 10))]));
    let scope = "scope example 1.0";
    assert_eq!(
        details(&page),
        [
            "Starts +0, takes 10.00µs · span 0000000000000001 Linked from full (b)".to_owned(),
            format!(
                "Starts +3.00µs, takes 7.00µs · span 0000000000000002 · below plain (a) · {scope} ✖ failed: it broke \
                 Links to plain (a) whybecause \
                 a span that is not recorded, 00000000000000000000000000000007 0000000000000008 \
                 Attributes keyvalue Events mark +5.00µs size3 bare +0 \
                 The span's limits kept 1 more attributes out. The span's limits kept 2 more events out. \
                 The span's limits kept 3 more links out."
            ),
            format!(
                "Starts +0, takes 10.00µs · span 0000000000000003 · remote parent 0000000000000009 · {scope} ✖ failed"
            ),
            format!(
                "Starts +0, takes 10.00µs · span 0000000000000004 · parent not recorded 0000000000000009 · {scope}"
            ),
        ]
    );
    let tables = |has: &str| elements(&page).iter().filter(|e| e.tag == "table" && e.text.contains(has)).count();
    assert_eq!((tables("why"), tables("size"), tables("Attributes")), (1, 1, 1), "no table is empty");
    let empty = elements(&page)
        .iter()
        .filter(|e| ["table", "ul", "p", "em"].contains(&&*e.tag) && e.text.trim().is_empty())
        .count();
    assert_eq!(empty, 0);
    assert_eq!(
        rows(&page),
        [
            "plain a 10.00µs",
            "full b ✖ it broke ⇢ 2 links ◆ 2 events 7.00µs",
            "remote c ✖ failed ↑ remote parent 10.00µs",
            "lost d ↑ parent not recorded 10.00µs",
        ]
    );
}

#[test]
fn what_has_not_ended_is_counted_where_there_is_some() {
    let recorder = TraceRecorder::new();
    let tracer = recorder.tracer("test");
    let facts = |recorder: &TraceRecorder| -> Vec<String> {
        let facts = elements(&page(&recorder.tree())).into_iter().filter(|element| element.has_class("facts"));
        facts.map(|facts| facts.text).filter(|text| text.contains(" span")).collect()
    };
    tracer.in_span("outer", |_| {
        let facts = facts(&recorder);
        assert!(
            facts.len() == 2 && facts.iter().all(|facts| facts.ends_with(" · 1 span · … 1 not ended")),
            "{facts:?}"
        );
    });
    assert!(facts(&recorder).iter().all(|facts| facts.ends_with(" · 1 span")));
}

#[test]
fn a_name_keeps_to_its_line_and_a_value_of_8_kib_is_whole() {
    let attributes = |text: &str| with(span(1, 1, 0, "it's\na\tname", 0, 1), SpanKind::Internal, &[("key", text)]);
    let page_of = |length| page(&tree([("a", attributes(&"x".repeat(length)))]));
    assert!(page_of(8192).contains("xxx</td>"));
    assert!(page_of(8193).contains("xxx… (8193 bytes)</td>"));
    assert_eq!(rows(&page_of(1)), [r"it's\na\tname a 1.00µs"]);
    assert!(page_of(1).contains("it&#39;s"), "both kinds of quotes are escaped");
    // The names of what is folded are one line, in their own letters; nothing is said of others where there are none.
    let spans = (0..26).map(|n| ("a", span(1, n + 1, 0, ["Größe", "it\u{7}", "c"][n as usize % 3], n, n + 1)));
    let page = page(&tree(spans));
    assert!(elements(&page).iter().any(|e| e.text == "More: Größe ×2, c ×2, it\\u{7} ×2 6 spans"), "{page}");
}
