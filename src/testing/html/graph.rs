use std::{collections::BTreeMap, fmt};

use super::{
    layout::{Layout, Line, Path, Point, Size, layout},
    markup::{Markup, Short},
    services::Colours,
};
use crate::testing::{Service, ServiceEdge, ServiceEdgeKind, ServiceGraph, drawing::counted};

/// More than that nobody could follow. The tables have all of them.
const SERVICES: usize = 60;
const PAIRS: usize = 150;

/// So many operations stand at a line.
const OPERATIONS: usize = 3;
/// So many bytes of a name are drawn.
const NAME: usize = 36;

/// How wide a character is: of names, which are bold, and of the monospaced rest. Fonts differ, so it is rather too much.
const WIDE: f64 = 8.4;
const NARROW: f64 = 6.8;
const LINE: f64 = 15.0;
const BOX: f64 = 46.0;
const MARGIN: f64 = 12.0;
/// How high a line from a box to itself goes.
const LOOP: f64 = 28.0;

/// The calls, or the messages, of a pair of services.
struct Pair<'a> {
    from: usize,
    to: usize,
    kind: ServiceEdgeKind,
    edges: Vec<&'a ServiceEdge>,
}

impl Pair<'_> {
    /// The lines at its label, and whether each tells of failures.
    fn label(&self) -> Vec<(String, bool)> {
        // Where one more would fit, there is no need to say that there is one more.
        let shown = if self.edges.len() > OPERATIONS + 1 { OPERATIONS } else { self.edges.len() };
        let mut lines = Vec::new();
        for edge in &self.edges[..shown] {
            lines.push((format!("{} ×{}", Short(&edge.by(), NAME), edge.count), false));
            if edge.errors > 0 {
                lines.push((format!("✖ {} failed ({:.0} %)", edge.errors, 100.0 * edge.error_share()), true));
            }
        }
        let rest = &self.edges[shown..];
        if !rest.is_empty() {
            let failed: usize = rest.iter().map(|edge| edge.errors).sum();
            let count: usize = rest.iter().map(|edge| edge.count).sum();
            lines.push((format!("and {} ×{count}", counted(rest.len(), "other")), false));
            if failed > 0 {
                lines.push((format!("✖ {failed} failed"), true));
            }
        }
        lines
    }
}

/// The graph as a picture, as wide as it needs to be.
pub(super) fn write(m: &mut Markup<'_, '_>, graph: &ServiceGraph, colours: &Colours<'_>) -> fmt::Result {
    let pairs = pairs(graph);
    if graph.services().len() > SERVICES || pairs.len() > PAIRS {
        m.raw("<p>These are too many services to draw; the tables have all of them.</p>\n")?;
        return Ok(());
    }
    let labels: Vec<_> = pairs.iter().map(Pair::label).collect();
    let sizes: Vec<_> = labels.iter().map(|lines| label_size(lines)).collect();
    let lines: Vec<_> =
        pairs.iter().zip(&sizes).map(|(pair, &label)| Line { from: pair.from, to: pair.to, label }).collect();
    let boxes: Vec<_> = (graph.services().iter().enumerate())
        .map(|(n, service)| box_size(service, lines.iter().filter(|line| line.from == n && line.to == n)))
        .collect();
    let layout = layout(&boxes, &lines);

    m.raw("<div class=scroll tabindex=0 role=group aria-label=\"Picture of the services\">")?;
    write_start(m, &layout, graph)?;
    for (pair, path) in pairs.iter().zip(&layout.lines) {
        write_line(m, pair, path, &boxes, &layout)?;
    }
    // Where the next label above a box goes, which stand on each other.
    let mut above: Vec<_> = layout.boxes.iter().map(|at| at.y - BOX / 2.0 - LOOP).collect();
    for ((pair, path), (label, size)) in pairs.iter().zip(&layout.lines).zip(labels.iter().zip(&sizes)) {
        let mut at = path.label;
        if pair.from == pair.to {
            let spare = boxes[pair.from].width - size.width;
            at = Point { x: layout.boxes[pair.from].x + spare / 2.0, y: above[pair.from] - size.below };
            above[pair.from] -= size.below + size.above;
        }
        write_label(m, label, at, *size)?;
    }
    for (service, (at, size)) in graph.services().iter().zip(layout.boxes.iter().zip(&boxes)) {
        write_box(m, service, *at, size.width, colours)?;
    }
    m.raw("</svg></div>\n")?;
    m.raw("<p class=facts>A solid line is a call, a dashed line a message.</p>\n")?;
    Ok(())
}

fn pairs(graph: &ServiceGraph) -> Vec<Pair<'_>> {
    let places: BTreeMap<_, _> = graph.services().iter().enumerate().map(|(n, service)| (&*service.name, n)).collect();
    let mut pairs = BTreeMap::<_, Vec<_>>::new();
    for edge in graph.edges() {
        pairs.entry((places[&*edge.from], places[&*edge.to], edge.kind)).or_default().push(edge);
    }
    let mut sorted = Vec::new();
    for ((from, to, kind), mut edges) in pairs {
        edges.sort_by_key(|edge: &&ServiceEdge| std::cmp::Reverse(edge.count));
        sorted.push(Pair { from, to, kind, edges });
    }
    sorted
}

fn width(text: &str, char: f64) -> f64 {
    // Characters of East Asia take the room of two.
    text.chars().map(|c| if c < '\u{1100}' { char } else { 2.0 * char }).sum()
}

fn label_size(lines: &[(String, bool)]) -> Size {
    let half = lines.len() as f64 * LINE / 2.0;
    Size {
        width: lines.iter().map(|(line, _)| width(line, NARROW)).fold(0.0, f64::max) + 8.0,
        above: half,
        below: half,
    }
}

fn facts(service: &Service) -> String {
    counted(service.spans, "span")
}

fn failures(service: &Service) -> Option<String> {
    (service.errors > 0).then(|| format!("✖ {}", service.errors))
}

/// Lines from a box to itself are loops on it, with their labels above.
fn box_size<'a>(service: &Service, loops: impl Iterator<Item = &'a Line>) -> Size {
    let name = width(&Short(&service.name, NAME).to_string(), WIDE);
    let facts = width(&facts(service), NARROW) + failures(service).map_or(0.0, |text| width(&text, NARROW) + 8.0);
    let mut size = Size { width: name.max(facts).max(64.0) + 30.0, above: BOX / 2.0, below: BOX / 2.0 };
    let mut loops = loops.peekable();
    if loops.peek().is_some() {
        size.above += LOOP;
    }
    for line in loops {
        size.width = size.width.max(line.label.width);
        size.above += 2.0 * line.label.above;
    }
    size
}

fn write_start(m: &mut Markup<'_, '_>, layout: &Layout, graph: &ServiceGraph) -> fmt::Result {
    let (width, height) = (layout.width + 2.0 * MARGIN, layout.height + 2.0 * MARGIN);
    m.raw("<svg xmlns=\"http://www.w3.org/2000/svg\" role=img width=\"")?.text(Px(width))?.raw("\" height=\"")?;
    m.text(Px(height))?.raw("\" viewBox=\"")?.text(Px(-MARGIN))?.raw(" ")?.text(Px(-MARGIN))?.raw(" ")?;
    m.text(Px(width))?.raw(" ")?.text(Px(height))?.raw("\" aria-label=\"Who calls whom: ")?;
    m.text(graph.to_string().replace('\n', "; "))?.raw("\">\n")?;
    m.raw("<marker id=arrow viewBox=\"0 0 8 8\" refX=7 refY=4 markerWidth=8 markerHeight=8 orient=auto ")?;
    m.raw("markerUnits=userSpaceOnUse><path d=\"M0 0L8 4L0 8z\"/></marker>\n")?;
    Ok(())
}

fn write_line(m: &mut Markup<'_, '_>, pair: &Pair<'_>, path: &Path, boxes: &[Size], layout: &Layout) -> fmt::Result {
    m.raw("<path class=\"e")?.raw(if pair.kind == ServiceEdgeKind::Message { " m" } else { "" })?;
    m.raw("\" marker-end=\"url(#arrow)\" d=\"")?;
    if pair.from == pair.to {
        // Up from the right half of the box, and down to the left one.
        let at = layout.boxes[pair.from];
        let (left, right, top) =
            (at.x + boxes[pair.from].width * 0.3, at.x + boxes[pair.from].width * 0.7, at.y - BOX / 2.0);
        write_points(m, "M", &[Point { x: right, y: top }])?;
        // A curve goes three quarters of the way to where its handles are.
        let bend = top - LOOP / 0.75;
        write_points(m, "C", &[Point { x: right, y: bend }, Point { x: left, y: bend }, Point { x: left, y: top }])?;
    }
    for (n, pair) in path.points.windows(2).enumerate() {
        let [from, to] = *pair else { continue };
        if n == 0 {
            write_points(m, "M", &[from])?;
        }
        if n % 2 == 0 {
            let middle = (from.x + to.x) / 2.0;
            write_points(m, "C", &[Point { x: middle, y: from.y }, Point { x: middle, y: to.y }, to])?;
        } else {
            write_points(m, "L", &[to])?;
        }
    }
    m.raw("\"/>\n")?;
    Ok(())
}

fn write_points(m: &mut Markup<'_, '_>, command: &'static str, points: &[Point]) -> fmt::Result {
    m.raw(command)?;
    for point in points {
        m.text(Px(point.x))?.raw(" ")?.text(Px(point.y))?.raw(" ")?;
    }
    Ok(())
}

fn write_label(m: &mut Markup<'_, '_>, lines: &[(String, bool)], at: Point, size: Size) -> fmt::Result {
    m.raw("<rect class=l x=\"")?.text(Px(at.x))?.raw("\" y=\"")?.text(Px(at.y - size.above))?.raw("\" width=\"")?;
    m.text(Px(size.width))?.raw("\" height=\"")?.text(Px(size.above + size.below))?.raw("\"/>\n")?;
    for (n, (line, failed)) in lines.iter().enumerate() {
        let y = at.y - size.above + LINE * (n as f64 + 0.5);
        write_text(m, if *failed { "l x" } else { "l" }, Point { x: at.x + size.width / 2.0, y }, line)?;
    }
    Ok(())
}

fn write_box(
    m: &mut Markup<'_, '_>,
    service: &Service,
    at: Point,
    width_of_box: f64,
    colours: &Colours<'_>,
) -> fmt::Result {
    let top = Px(at.y - BOX / 2.0);
    m.raw("<g class=\"")?.raw(colours.of(&service.name))?.raw("\"><title>")?.text(&service.name)?.raw("</title>")?;
    m.raw("<rect class=s x=\"")?.text(Px(at.x))?.raw("\" y=\"")?.text(top)?.raw("\" width=\"")?;
    m.text(Px(width_of_box))?.raw("\" height=\"")?.text(Px(BOX))?.raw("\" rx=6 />")?;
    m.raw("<rect class=c x=\"")?.text(Px(at.x))?.raw("\" y=\"")?.text(top)?.raw("\" width=7 height=\"")?;
    m.text(Px(BOX))?.raw("\" rx=3 />\n")?;
    let x = at.x + 18.0;
    write_text(m, "s", Point { x, y: at.y - 9.0 }, &Short(&service.name, NAME).to_string())?;
    let facts = facts(service);
    write_text(m, "f", Point { x, y: at.y + 11.0 }, &facts)?;
    if let Some(failures) = failures(service) {
        let x = x + width(&facts, NARROW) + 8.0;
        write_text(m, "f x", Point { x, y: at.y + 11.0 }, &failures)?;
    }
    m.raw("</g>\n")?;
    Ok(())
}

fn write_text(m: &mut Markup<'_, '_>, class: &'static str, at: Point, text: &str) -> fmt::Result {
    m.raw("<text class=\"")?.raw(class)?.raw("\" x=\"")?.text(Px(at.x))?.raw("\" y=\"")?.text(Px(at.y))?.raw("\">")?;
    m.text(text)?.raw("</text>\n")?;
    Ok(())
}

/// A length, to a tenth of a pixel.
#[derive(Clone, Copy)]
struct Px(f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No `-0`.
        write!(f, "{}", (self.0 * 10.0).round() / 10.0 + 0.0)
    }
}
