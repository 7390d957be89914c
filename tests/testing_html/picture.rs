//! The picture of the services: what it says, and its laws, by the numbers in it.

use std::collections::HashMap;

use ctxhop::testing::TraceTree;
use opentelemetry::trace::SpanKind;

use crate::{
    Element, elements, page,
    pages::{self, span, tree, with},
};

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
