//! The page says what the tree says, whatever that is. `browser` looks at it in a browser.

#[path = "support/pages.rs"]
mod pages;

use std::collections::HashMap;

use ctxhop::testing::{TraceRecorder, TraceTree};
use opentelemetry::trace::{SpanKind, Tracer};
use opentelemetry_sdk::trace::SpanData;

use pages::{HOSTILE, context, linked, span, tree, with};

fn page(tree: &TraceTree) -> String {
    tree.html().to_string()
}

// Reading the page.

#[derive(Debug)]
struct Element {
    tag: String,
    attributes: HashMap<String, String>,
    /// All text in it.
    text: String,
}

impl Element {
    fn has_class(&self, class: &str) -> bool {
        self.attributes.get("class").is_some_and(|classes| classes.split(' ').any(|found| found == class))
    }

    fn number(&self, attribute: &str) -> f64 {
        self.attributes[attribute].parse().unwrap()
    }
}

/// The elements of a page, by their beginnings. Panics if a tag is open at the end, or ends that is not open.
fn elements(page: &str) -> Vec<Element> {
    let mut elements = Vec::<Element>::new();
    let mut open = Vec::<usize>::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a page of HTML");
    while let Some(start) = rest.find('<') {
        let text = unescaped(&rest[..start]);
        open.iter().for_each(|&element| elements[element].text += &text);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(closing) = tag.strip_prefix('/') {
            assert_eq!(open.pop().map(|element| &*elements[element].tag), Some(closing), "before {:.80}", rest);
            continue;
        }
        let (inner, closed) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        let closed = closed || ["meta", "link", "input"].contains(&name);
        elements.push(Element { tag: name.to_owned(), attributes: parse(attributes), text: String::new() });
        if !closed {
            open.push(elements.len() - 1);
        }
        if name == "style" {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
    }
    assert!(open.is_empty(), "open at the end: {open:?}");
    elements
}

fn parse(mut text: &str) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    while !text.trim_start().is_empty() {
        text = text.trim_start();
        let end = text.find([' ', '=']).unwrap_or(text.len());
        let name = text[..end].to_owned();
        text = &text[end..];
        let mut value = String::new();
        if let Some(quoted) = text.strip_prefix("=\"") {
            let (inside, rest) = quoted.split_once('"').expect("the quotes end");
            (value, text) = (unescaped(inside), rest);
        } else if let Some(bare) = text.strip_prefix('=') {
            let end = bare.find(' ').unwrap_or(bare.len());
            (value, text) = (bare[..end].to_owned(), &bare[end..]);
        }
        assert!(attributes.insert(name, value).is_none(), "an attribute comes once");
    }
    attributes
}

fn unescaped(text: &str) -> String {
    assert!(!text.contains(['<', '>', '"']), "unescaped: {text}");
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The rows of spans, by the text of each one's line.
fn rows(page: &str) -> Vec<String> {
    let elements = elements(page);
    let named = |pair: &[Element]| {
        let [details, summary] = pair else { return None };
        let row = details.tag == "details" && details.attributes.get("id").is_some_and(|id| id.starts_with('s'));
        row.then(|| summary.text.trim().to_owned())
    };
    elements.windows(2).filter_map(named).collect()
}

// What it shows.

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

// The picture of the services.

fn rectangles<'a>(elements: &'a [Element], class: &'a str) -> Vec<[f64; 4]> {
    let rect = |rect: &Element| {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|attribute| rect.number(attribute));
        [x, y, x + width, y + height]
    };
    elements.iter().filter(|element| element.tag == "rect" && element.has_class(class)).map(rect).collect()
}

#[test]
fn nothing_in_the_picture_covers_another() {
    for tree in pictured() {
        let page = page(&tree);
        let elements = elements(&page);
        let mut all = rectangles(&elements, "s");
        assert_eq!(all.len(), tree.services().services().len());
        all.extend(rectangles(&elements, "l"));
        for (n, a) in all.iter().enumerate() {
            for b in &all[n + 1..] {
                let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                assert!(apart, "{a:?} {b:?}");
            }
        }
        let svg = elements.iter().find(|element| element.tag == "svg").unwrap();
        let [left, top, width, height] =
            svg.attributes["viewBox"].split(' ').map(|n| n.parse().unwrap()).collect::<Vec<f64>>()[..]
        else {
            panic!()
        };
        for a in all {
            assert!(left <= a[0] && top <= a[1] && a[2] <= left + width && a[3] <= top + height, "{a:?} is outside");
        }
    }
}

#[test]
fn calls_go_from_left_to_right() {
    let page = page(&pages::shop());
    let elements = elements(&page);
    let at = |name: &str| {
        let text = elements.iter().find(|element| element.tag == "text" && element.text == name).unwrap();
        text.number("x")
    };
    let chain = ["shopper", "gateway", "checkout", "payment"].map(at);
    assert!(chain.is_sorted() && chain[2] < at("stock"), "{chain:?}");
    let lines = |class| elements.iter().filter(|element| element.tag == "path" && element.has_class(class)).count();
    assert_eq!((lines("e"), lines("m")), (4, 1), "one of them is a message");
}

#[test]
fn too_many_services_are_in_tables_only() {
    let names: Vec<_> = (0..200).map(|n| format!("service {n}")).collect();
    let calls = names.windows(2).zip((1..).step_by(2)).flat_map(|(pair, n)| {
        let out = with(span(n, n, 0, "call", n, n + 2), SpanKind::Client, &[]);
        [(&*pair[0], out), (&*pair[1], span(n, n + 1, n, "serve", n, n + 1))]
    });
    let page = page(&tree(calls));
    assert!(!page.contains("<svg") && page.contains("too many services to draw"));
    assert_eq!(page.matches("<td>→ ").count(), 199);
}

// The laws of the picture, by the numbers in it.

#[derive(Clone, Copy, Debug, PartialEq)]
struct Dot(f64, f64);

/// Left, top, right and bottom.
type Rect = [f64; 4];

/// What is drawn at one place, and the texts in it: each one's class, where it stands, and what it says.
#[derive(Debug)]
struct Drawn {
    rect: Rect,
    texts: Vec<(String, Dot, String)>,
}

impl Drawn {
    fn middle(&self) -> Dot {
        Dot((self.rect[0] + self.rect[2]) / 2.0, (self.rect[1] + self.rect[3]) / 2.0)
    }

    fn says(&self) -> Vec<&str> {
        self.texts.iter().map(|(_, _, text)| &**text).collect()
    }
}

/// A command of a path, and its points.
type Part = (char, Vec<Dot>);

/// Boxes are in the order of the services, and lines and labels in that of the pairs of services.
#[derive(Debug)]
struct Picture {
    view: Rect,
    boxes: Vec<Drawn>,
    labels: Vec<Drawn>,
    /// Whether a line is a message's, and the parts of it: each one's command and points, from the one that it begins at.
    lines: Vec<(bool, Vec<Part>)>,
}

fn picture(tree: &TraceTree) -> Picture {
    let elements = elements(&page(tree));
    let svg = elements.iter().find(|element| element.tag == "svg").unwrap();
    let view: Vec<f64> = svg.attributes["viewBox"].split(' ').map(|n| n.parse().unwrap()).collect();
    assert_eq!([svg.number("width"), svg.number("height")], view[2..], "drawn as large as it is");
    let view = [view[0], view[1], view[0] + view[2], view[1] + view[3]];
    let mut picture = Picture { view, boxes: Vec::new(), labels: Vec::new(), lines: Vec::new() };
    let mut last_is_label = false;
    for element in &elements {
        match &*element.tag {
            "path" if element.has_class("e") => {
                picture.lines.push((element.has_class("m"), parts(&element.attributes["d"])));
            }
            "rect" if !element.has_class("c") => {
                let rect = rectangles(std::slice::from_ref(element), &element.attributes["class"])[0];
                last_is_label = element.has_class("l");
                let drawn = Drawn { rect, texts: Vec::new() };
                if last_is_label { picture.labels.push(drawn) } else { picture.boxes.push(drawn) }
            }
            "rect" => {
                let stripe = rectangles(std::slice::from_ref(element), "c")[0];
                let of = picture.boxes.last().unwrap().rect;
                assert!(
                    stripe[2] < of[2] && stripe == [of[0], of[1], stripe[2], of[3]],
                    "a stripe at the left of a box"
                );
            }
            "text" => {
                let drawn = if last_is_label { picture.labels.last_mut() } else { picture.boxes.last_mut() };
                let at = Dot(element.number("x"), element.number("y"));
                drawn.unwrap().texts.push((element.attributes["class"].clone(), at, element.text.clone()));
            }
            _ => {}
        }
    }
    picture
}

fn parts(path: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some(command) = rest.chars().next() {
        let end = rest[1..].find(char::is_alphabetic).map_or(rest.len(), |end| end + 1);
        let numbers: Vec<f64> = rest[1..end].split_whitespace().map(|n| n.parse().unwrap()).collect();
        parts.push((command, numbers.chunks(2).map(|pair| Dot(pair[0], pair[1])).collect()));
        rest = &rest[end..];
    }
    parts
}

/// Lengths are drawn to a tenth.
#[track_caller]
fn near(a: f64, b: f64) {
    assert!((a - b).abs() < 0.25, "{a} is not {b}");
}

/// How wide a text is, rather too much: names are bold, and the characters of East Asia are twice as wide.
fn estimate(text: &str, class: &str) -> f64 {
    let one = if class == "s" { 8.4 } else { 6.8 };
    text.chars().map(|c| if c < '\u{1100}' { one } else { 2.0 * one }).sum()
}

/// So many calls of `from` to `to` by each route, of which the first ones fail.
fn calls<'a>(calls: impl IntoIterator<Item = (&'a str, &'a str, &'a str, u64, u64)>) -> TraceTree {
    let mut spans = Vec::new();
    for (n, (from, to, route, count, failures)) in (1..).zip(calls) {
        for call in 0..count {
            let id = 1_000_000 * n + 2 * call;
            spans.push((from, with(span(n, id, 0, "call", 0, 9), SpanKind::Client, &[])));
            let served = with(span(n, id + 1, id, route, 1, 8), SpanKind::Server, &[]);
            spans.push((to, if call < failures { pages::failed(served, "") } else { served }));
        }
    }
    tree(spans)
}

/// Trees whose pictures have boxes of all sizes, loops, circles, messages, long lines and no lines.
fn pictured() -> Vec<TraceTree> {
    let loops = calls([
        ("a", "b", "x", 1, 0),
        ("a", "c", "y", 3, 2),
        ("a", "d", "z", 1, 1),
        ("b", "b", "retry by a long name", 7, 0),
        ("c", "c", "again", 1, 1),
        ("c", "c", "and again", 1, 0),
        ("支払いサービス", "支払いサービス", "支払い", 1, 0),
        // The first letter that takes the room of two.
        ("ᄀᄀᄀᄀᄀᄀᄀᄀᄀᄀ", "ᄀᄀᄀᄀᄀᄀᄀᄀᄀᄀ", "ᄀ", 1, 0),
    ]);
    let calls_and_sends_to_itself = tree([
        ("a", with(span(1, 1, 0, "call", 0, 9), SpanKind::Client, &[])),
        ("a", with(span(1, 2, 1, "f", 1, 8), SpanKind::Server, &[])),
        ("a", with(span(2, 3, 0, "send", 0, 4), SpanKind::Producer, &[])),
        ("a", with(span(2, 4, 3, "process", 5, 9), SpanKind::Consumer, &[])),
    ]);
    vec![
        pages::shop(),
        pages::tangle(),
        pages::thousand(),
        loops,
        calls_and_sends_to_itself,
        calls([("a", "a", "f", 1, 0)]),
        tree([("a", span(1, 1, 0, "x", 0, 1))]),
    ]
}

#[test]
fn the_picture_has_the_same_margin_on_all_sides() {
    for tree in pictured() {
        let Picture { view, boxes, labels, .. } = picture(&tree);
        let rects = || boxes.iter().chain(&labels).map(|drawn| drawn.rect);
        let margin = rects().map(|rect| rect[0] - view[0]).fold(f64::MAX, f64::min);
        assert!(margin > 5.0);
        near(margin, rects().map(|rect| rect[1] - view[1]).fold(f64::MAX, f64::min));
        near(margin, rects().map(|rect| view[2] - rect[2]).fold(f64::MAX, f64::min));
        near(margin, rects().map(|rect| view[3] - rect[3]).fold(f64::MAX, f64::min));
    }
}

#[test]
fn texts_fit_in_their_boxes_and_cover_no_other() {
    for tree in pictured() {
        let picture = picture(&tree);
        for drawn in &picture.boxes {
            let mut lines = HashMap::<String, f64>::new();
            for (class, Dot(x, y), text) in &drawn.texts {
                let free = lines.entry(y.to_string()).or_insert(drawn.rect[0] + 7.0);
                assert!(x > free, "{text:?} begins after what is before it: {drawn:?}");
                *free = x + estimate(text, class);
                assert!(*free <= drawn.rect[2] + 0.25, "{text:?} ends in its box: {drawn:?}");
                assert!(drawn.rect[1] + 7.5 <= *y && *y <= drawn.rect[3] - 7.5, "{text:?} is in its box: {drawn:?}");
            }
            assert_eq!(lines.len(), 2, "the name, and below it the facts");
            let [name, facts @ ..] = &drawn.texts[..] else { panic!("{drawn:?}") };
            let wide = |(class, _, text): &(String, Dot, String)| estimate(text, class);
            let facts = facts.iter().map(wide).sum::<f64>() + 8.0 * (facts.len() - 1) as f64;
            let (width, needed) = (drawn.rect[2] - drawn.rect[0], wide(name).max(facts).max(64.0) + 30.0);
            let label = picture.labels.iter().map(|label| label.rect[2] - label.rect[0]).find(|label| *label == width);
            near(width, label.unwrap_or(needed));
            assert!(drawn.texts[0].1.1 + 15.0 <= drawn.texts[1].1.1, "{drawn:?}");
        }
        for drawn in &picture.labels {
            assert!(!drawn.texts.is_empty());
            near(drawn.rect[3] - drawn.rect[1], 15.0 * drawn.texts.len() as f64);
            let widest = drawn.texts.iter().map(|(class, _, text)| estimate(text, class)).fold(0.0, f64::max);
            near(drawn.rect[2] - drawn.rect[0], widest + 8.0);
            for (n, (class, Dot(x, y), text)) in drawn.texts.iter().enumerate() {
                near(*x, drawn.middle().0);
                near(*y, drawn.rect[1] + 15.0 * n as f64 + 7.5);
                assert_eq!(class == "l x", text.starts_with('✖'), "failures are marked: {text:?}");
            }
        }
    }
}

#[test]
fn lines_lead_from_border_to_border_and_through_their_labels() {
    for tree in pictured() {
        let graph = tree.services();
        let place = |name: &str| graph.services().iter().position(|service| service.name == name).unwrap();
        let pairs: std::collections::BTreeSet<_> =
            graph.edges().iter().map(|edge| (place(&edge.from), place(&edge.to), edge.kind)).collect();
        let picture = picture(&tree);
        assert_eq!((picture.lines.len(), picture.labels.len()), (pairs.len(), pairs.len()));
        let (mut ends, mut tops) = (Vec::<Dot>::new(), HashMap::new());
        for ((from, to, kind), ((message, parts), label)) in
            pairs.into_iter().zip(picture.lines.iter().zip(&picture.labels))
        {
            assert_eq!(*message, kind == ctxhop::testing::ServiceEdgeKind::Message);
            let [source, target] = [from, to].map(|place| picture.boxes[place].rect);
            let ('M', first) = (parts[0].0, parts[0].1[0]) else { panic!("{parts:?}") };
            let last = *parts.last().unwrap().1.last().unwrap();
            if from == to {
                let [('M', _), ('C', curve)] = &parts[..] else { panic!("{parts:?}") };
                near(first.1, source[1]);
                near(last.1, source[1]);
                assert!(source[0] < last.0 && last.0 + 10.0 < first.0 && first.0 < source[2], "from right to left");
                near(last.0 - source[0], source[2] - first.0);
                assert_eq!((curve[0].0, curve[1].0, curve[0].1), (first.0, last.0, curve[1].1), "it goes straight up");
                // A curve goes three quarters of the way to where its handles are.
                let highest = first.1 - 0.75 * (first.1 - curve[0].1);
                near(label.middle().0, (source[0] + source[2]) / 2.0);
                assert!(source[0] <= label.rect[0] + 0.25, "its label is no wider than the box");
                // Its label stands on it, or on the label of the loop before.
                near(label.rect[3], tops.insert(from, label.rect[1]).unwrap_or(highest));
                assert!(highest + 10.0 < first.1, "it can be seen");
                continue;
            }
            let against = last.0 < first.0;
            let (right, left) = if against { (0, 2) } else { (2, 0) };
            near(first.0, source[right]);
            near(last.0, target[left]);
            for (end, border) in [(first, source), (last, target)] {
                assert!(border[1] < end.1 && end.1 < border[3], "{end:?} is at a side of {border:?}");
                assert!(!ends.contains(&end), "no two lines end at one point");
                ends.push(end);
            }
            let mut at = first;
            let mut labelled = false;
            for (command, points) in &parts[1..] {
                let end = *points.last().unwrap();
                assert_eq!(end.0 < at.0, against, "no line turns around");
                if *command == 'C' {
                    near(points[0].0, (at.0 + end.0) / 2.0);
                    near(points[1].0, (at.0 + end.0) / 2.0);
                    assert_eq!((points[0].1, points[1].1), (at.1, end.1), "curves begin and end level");
                } else {
                    near(at.1, end.1);
                    let (left, right) = (at.0.min(end.0), at.0.max(end.0));
                    let through = |rect: Rect| {
                        rect[0] < right - 0.25 && left + 0.25 < rect[2] && rect[1] < at.1 && at.1 < rect[3]
                    };
                    for other in picture.boxes.iter().chain(&picture.labels) {
                        assert!(!through(other.rect) || other.rect == label.rect, "{other:?} is in the way");
                    }
                    if through(label.rect) {
                        labelled = true;
                        near(at.1, label.middle().1);
                        assert!(left <= label.rect[0] + 0.25 && label.rect[2] <= right + 0.25);
                    }
                }
                at = end;
            }
            assert!(labelled, "its label is on it");
        }
    }
}

#[test]
fn a_label_says_how_often_and_how_many_failed() {
    let labels = |edges: &[(&'static str, u64, u64)]| {
        let drawn = picture(&calls(edges.iter().map(|&(route, count, failures)| ("a", "b", route, count, failures))));
        drawn.labels.iter().flat_map(Drawn::says).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(labels(&[("f", 1, 0)]), ["f ×1"]);
    assert_eq!(labels(&[("f", 1, 0), ("g", 4, 1)]), ["g ×4", "✖ 1 failed (25 %)", "f ×1"], "the most frequent first");
    let five = [("e", 5, 0), ("f", 4, 0), ("g", 3, 0), ("h", 2, 2), ("i", 1, 0)];
    assert_eq!(labels(&five[..4]), ["e ×5", "f ×4", "g ×3", "h ×2", "✖ 2 failed (100 %)"], "all that fit");
    assert_eq!(labels(&five), ["e ×5", "f ×4", "g ×3", "and 2 others ×3", "✖ 2 failed"]);
    assert_eq!(labels(&[five[0], five[1], five[2], ("h", 2, 0), five[4]])[3..], ["and 2 others ×3"]);
    let name = "/abcdefghijklmnopqrstuvwxyz0123456789";
    assert_eq!(labels(&[(name, 1, 0)]), [format!("{}… ×1", &name[..36])]);
}

#[test]
fn a_box_says_how_many_spans_it_has_and_how_many_failed() {
    let boxes = picture(&calls([("a", "b", "f", 1, 0), ("a", "c", "g", 3, 2)])).boxes;
    let says: Vec<_> = boxes.iter().map(Drawn::says).collect();
    assert_eq!(says, [vec!["a", "4 spans"], vec!["b", "1 span"], vec!["c", "3 spans", "✖ 2"]]);
}

#[test]
fn boxes_stand_by_the_longest_way_and_lines_are_straight_and_cross_no_others_without_need() {
    let call = |(from, to)| (from, to, "f", 1, 0);
    let draw = |pairs: &[(&'static str, &'static str)]| picture(&calls(pairs.iter().copied().map(call)));

    // The longest way to `d` is by `b` and `c`. A source stands right before what it calls.
    let drawn = draw(&[("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("e", "d")]);
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|n| drawn.boxes[n].rect);
    assert!(a[2] < b[0] && b[2] < c[0] && c[2] < d[0], "{drawn:?}");
    near(c[0], e[0]);

    let chain = draw(&[("a", "b"), ("b", "c"), ("c", "d")]);
    for drawn in chain.boxes.iter().chain(&chain.labels) {
        near(drawn.middle().1, chain.boxes[0].middle().1);
    }
    let fork = draw(&[("a", "b"), ("a", "c"), ("a", "d")]);
    let middle = |n: usize| fork.boxes[n].middle().1;
    near(middle(0), middle(2));
    near(middle(0) - middle(1), middle(3) - middle(0));
    let gap = fork.boxes[2].rect[1] - fork.boxes[1].rect[3];
    assert!((10.0..=30.0).contains(&gap), "siblings stand close together: {gap}");

    let names = draw(&[("a", "b"), ("a", "a name that takes more room")]);
    near(names.boxes[1].middle().0, names.boxes[2].middle().0);

    for pairs in [
        &[("a", "z"), ("b", "y")][..],
        &[("a", "z"), ("b", "y"), ("c", "x"), ("d", "w"), ("a", "y"), ("b", "x"), ("c", "w")],
        &[("a", "z"), ("b", "y"), ("c", "x"), ("z", "m"), ("y", "n"), ("x", "l")],
    ] {
        let lines: Vec<_> = (draw(pairs).lines.into_iter())
            .map(|(_, parts)| (parts[0].1[0].1, parts.last().unwrap().1.last().unwrap().1))
            .collect();
        for (n, a) in lines.iter().enumerate() {
            assert!(lines[n + 1..].iter().all(|b| (a.0 < b.0) == (a.1 < b.1)), "{pairs:?}: {lines:?}");
        }
    }
}

#[test]
fn up_to_sixty_services_and_150_pairs_are_drawn() {
    let names: Vec<_> = (0..62).map(|n| format!("{n}")).collect();
    let drawn = |tree: &TraceTree| page(tree).contains("<svg");
    let apart = |count| tree(names[..count].iter().zip(1..).map(|(name, n)| (&**name, span(n, n, 0, "x", 0, 1))));
    assert_eq!([60, 61, 62].map(|count| drawn(&apart(count))), [true, false, false]);
    let all = || (0..20).flat_map(|from| (0..from).map(move |to| (from, to)));
    let pairs = |count| calls(all().take(count).map(|(from, to)| (&*names[from], &*names[to], "f", 1, 0)));
    assert_eq!([150, 151].map(|count| drawn(&pairs(count))), [true, false]);
}

#[test]
fn the_tables_say_what_the_services_are_and_how_many_failed() {
    let page = page(&calls([("a", "b", "f", 1, 0), ("a", "c", "g", 3, 2)]));
    let elements = elements(&page);
    let table = |caption: &str| {
        let table = elements.iter().find(|element| element.tag == "table" && element.text.contains(caption)).unwrap();
        table.text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let resource = |name: &str| format!("Resource service.name{name} service.version2.1.0");
    let services = format!(
        "Services ServiceSpansFailed a {} 40 b {} 10 c {} 3✖ 2 (67 %)",
        resource("a"),
        resource("b"),
        resource("c"),
    );
    assert_eq!(table("Services"), services, "a resource comes once");
    assert_eq!(table("Calls"), "Calls (→) and messages (⇢) FromToByCountFailed a→ bf10 a→ cg3✖ 2 (67 %)");
    // A service has one colour, in the picture, in the table and in its rows.
    let coloured = |element: &Element| {
        element
            .attributes
            .get("class")
            .and_then(|c| c.split(' ').find(|c| c.len() == 2 && c.starts_with('s') && *c != "sw").map(str::to_owned))
    };
    let of = |tag: &str| elements.iter().filter(|element| element.tag == tag).filter_map(coloured).collect::<Vec<_>>();
    assert_eq!(of("g"), ["s0", "s1", "s2"]);
    assert_eq!(of("span"), of("g"));
    assert_eq!(of("li"), ["s0", "s1", "s0", "s2", "s0", "s2", "s0", "s2"]);
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

// Colours.

/// The colours of a scheme in the style sheet: `--c0` to `--c5`, and some by name.
fn colours(scheme: &str) -> HashMap<String, [f64; 3]> {
    let page = page(&TraceTree::new([]));
    let (light, rest) = page.split_once("prefers-color-scheme: dark").unwrap();
    let text = if scheme == "light" { light } else { rest.split_once("}").unwrap().0 };
    let colour = |declaration: &str| {
        let (name, value) = declaration.trim().split_once(": #")?;
        let digits: Vec<_> = value.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
        let [r, g, b] = match digits[..] {
            [r, g, b] => [r * 17, g * 17, b * 17],
            [a, b, c, d, e, f] => [a * 16 + b, c * 16 + d, e * 16 + f],
            _ => return None,
        };
        let linear = |part| match f64::from(part) / 255.0 {
            part if part <= 0.04045 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        Some((name.rsplit("--").next()?.to_owned(), [linear(r), linear(g), linear(b)]))
    };
    text.split([';', '{']).filter_map(colour).collect()
}

/// How different two colours look: the distance in Björn Ottosson's Oklab.
fn difference(a: [f64; 3], b: [f64; 3]) -> f64 {
    let [a, b] = [a, b].map(|[r, g, b]| {
        let l = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b).cbrt();
        let m = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b).cbrt();
        let s = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b).cbrt();
        [
            0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
            1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
        ]
    });
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Everybody's eyes, and those without red, green or blue, after Machado, Oliveira and Fernandes (2009).
const EYES: [[[f64; 3]; 3]; 4] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
];

#[test]
fn everybody_can_tell_the_colours_of_services() {
    for scheme in ["light", "dark"] {
        let colours = colours(scheme);
        let services: Vec<_> = (0..6).map(|n| colours[&format!("c{n}")]).collect();
        for eyes in EYES {
            let seen =
                |colour: [f64; 3]| eyes.map(|row| (0..3).map(|n| row[n] * colour[n]).sum::<f64>().clamp(0.0, 1.0));
            for (n, &a) in services.iter().enumerate() {
                for &b in &services[n + 1..] {
                    let difference = difference(seen(a), seen(b));
                    assert!(difference > 0.075, "{scheme}: {difference} between {a:?} and {b:?}");
                }
            }
        }
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let paper = luminance(colours["bg"]);
        for colour in services {
            let (dark, bright) = (paper.min(luminance(colour)), paper.max(luminance(colour)));
            assert!((bright + 0.05) / (dark + 0.05) >= 3.0, "{scheme}: {colour:?} is too near to the page's");
        }
    }
}
