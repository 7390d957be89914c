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
    for tree in [pages::shop(), pages::tangle(), pages::thousand()] {
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
