use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Range,
    time::Duration,
};

use opentelemetry::trace::{Link, SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use super::{
    Parent, TraceNode, TraceTree,
    tree::{index_by_key, key},
};

/// A [`TraceTree`] as text, one line a span.
///
/// ```text
/// GET /orders [server] (remote parent) 12.31ms
/// ├─ charge [client] ERROR: card declined 3.20ms
/// └─ notify [consumer] ~> order ×2, unrecorded 1.07ms
/// ```
///
/// After the name come, where there is something to say: the [label](Self::label), the kind, the status, the names of
/// the spans that it links to (`unrecorded` for those not in the tree), why a root's parent is not in the tree, and the
/// duration. Roots are drawn one after another. Control characters in names, labels and descriptions are
/// escaped, and those that turn text around.
///
/// - With [`durations`](Self::durations), siblings come in the order in which they started.
/// - Without, in alphabetical order, which makes the drawing **deterministic**: the same spans draw the same text,
///   whatever their ids, whenever they started or ended, in whatever order they were recorded. So a test can compare
///   it.
/// - [`folded`](Self::folded) draws equal siblings once.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::trace::Tracer;
///
/// let recorder = TraceRecorder::new();
/// let tracer = recorder.tracer("shop");
/// tracer.in_span("publish", |_| {
///     for _ in 0..198 {
///         tracer.in_span("deliver", |_| drop(tracer.start("ack")));
///     }
/// });
/// assert_eq!(recorder.tree().display().durations(false).folded(true).to_string(), "\
/// publish
/// └─ deliver ×198
///    └─ ack");
/// ```
#[derive(Clone, Copy)]
#[must_use = "this only describes a drawing: print it or make it a string"]
pub struct TreeDisplay<'a> {
    tree: &'a TraceTree,
    durations: bool,
    folded: bool,
    label: Option<&'a LabelOf<'a>>,
}

type LabelOf<'a> = dyn Fn(&TraceNode) -> String + Sync + 'a;

impl<'a> TreeDisplay<'a> {
    pub(super) const fn new(tree: &'a TraceTree) -> Self {
        Self { tree, durations: true, folded: false, label: None }
    }

    /// Whether each span's duration is drawn, and siblings in the order of their start: yes, unless told otherwise.
    pub const fn durations(mut self, durations: bool) -> Self {
        self.durations = durations;
        self
    }

    /// Whether siblings that draw the same, with all below them, durations aside, are drawn once, with their number:
    /// no, unless told otherwise.
    ///
    /// The number below a folded span is that in each of the folded ones. The durations are the shortest and the
    /// longest of all the spans that the line stands for.
    pub const fn folded(mut self, folded: bool) -> Self {
        self.folded = folded;
        self
    }

    /// What is drawn after each span's name: nothing, unless told otherwise. An empty label is not drawn.
    ///
    /// Use it to see which [service](TraceNode::service) a span is of, or whatever else a span knows of itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// let recorder = TraceRecorder::new();
    /// let (shop, stock) = (recorder.service("shop").tracer("shop"), recorder.service("stock").tracer("stock"));
    /// shop.in_span("order", |_| stock.in_span("reserve", |_| {}));
    /// let drawing = recorder.tree().display()
    ///     .durations(false)
    ///     .label(&|node| format!("@{}", node.service()))
    ///     .to_string();
    /// assert_eq!(drawing, "\
    /// order @shop
    /// └─ reserve @stock");
    /// ```
    pub const fn label(mut self, label: &'a (dyn Fn(&TraceNode) -> String + Sync + 'a)) -> Self {
        self.label = Some(label);
        self
    }
}

impl fmt::Debug for TreeDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeDisplay")
            .field("tree", self.tree)
            .field("durations", &self.durations)
            .field("folded", &self.folded)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TreeDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forest = Forest::new(self.tree, self.label);
        let mut pending = self.lines((0..self.tree.roots().len()).collect(), &forest, 1, 0);
        // For each level down to the current line, whether it has siblings still to come.
        let mut open = Vec::new();
        let mut separator = "";
        while let Some(line) = pending.pop() {
            f.write_str(separator)?;
            separator = "\n";
            open.truncate(line.depth);
            open.push(!line.last);
            if let [_root, above @ .., open] = open.as_slice() {
                for &open in above {
                    f.write_str(if open { "│  " } else { "   " })?;
                }
                f.write_str(if *open { "├─ " } else { "└─ " })?;
            }
            self.write_label(f, &line, &forest)?;
            let below = line.spans.iter().flat_map(|&span| forest.children(span)).collect();
            pending.extend(self.lines(below, &forest, line.spans.len(), line.depth + 1));
        }
        Ok(())
    }
}

/// The spans that are drawn as one, which is a single one unless folded.
struct Line {
    spans: Vec<usize>,
    /// How many of them each span of the line above has.
    count: usize,
    depth: usize,
    last: bool,
}

impl TreeDisplay<'_> {
    /// The lines for these spans, all of them below one line of `parents` spans; the last one first.
    fn lines(&self, mut spans: Vec<usize>, forest: &Forest<'_>, parents: usize, depth: usize) -> Vec<Line> {
        if self.durations {
            spans.sort_by_key(|&span| forest.nodes[span].span().start_time);
        } else {
            spans.sort_by_key(|&span| (&forest.labels[span], forest.shapes[span]));
        }
        let groups = if self.folded { forest.fold(spans) } else { spans.into_iter().map(|span| vec![span]).collect() };
        // Equal parents have equally many equal children, and so the division leaves no remainder.
        let line = |spans: Vec<_>| Line { count: spans.len() / parents, spans, depth, last: false };
        let mut lines: Vec<_> = groups.into_iter().rev().map(line).collect();
        if let Some(line) = lines.first_mut() {
            line.last = true;
        }
        lines
    }

    fn write_label(&self, f: &mut fmt::Formatter<'_>, line: &Line, forest: &Forest<'_>) -> fmt::Result {
        let Label { name, details } = &forest.labels[line.spans[0]];
        f.write_str(name)?;
        if line.count > 1 {
            write!(f, " ×{}", line.count)?;
        }
        f.write_str(details)?;
        if self.durations {
            let durations = || line.spans.iter().map(|&span| duration(forest.nodes[span].span()));
            let shortest = humanise(durations().min().unwrap_or_default());
            let longest = humanise(durations().max().unwrap_or_default());
            write!(f, " {shortest}")?;
            if longest != shortest {
                write!(f, "..{longest}")?;
            }
        }
        Ok(())
    }
}

/// Zero for a span that ends before it starts, which a clock set back makes.
pub(super) fn duration(span: &SpanData) -> Duration {
    span.end_time.duration_since(span.start_time).unwrap_or_default()
}

pub(super) fn humanise(duration: Duration) -> String {
    if duration < Duration::from_micros(1) { format!("{duration:?}") } else { format!("{duration:.2?}") }
}

/// The nodes level by level, so that the children of each are a range, and what is drawn of them.
struct Forest<'a> {
    nodes: Vec<&'a TraceNode>,
    first_child: Vec<usize>,
    labels: Vec<Label>,
    /// Equal for nodes that draw the same, with all below them; ordered by what they draw.
    shapes: Vec<usize>,
}

impl<'a> Forest<'a> {
    fn new(tree: &'a TraceTree, label: Option<&LabelOf<'_>>) -> Self {
        let mut nodes: Vec<_> = tree.roots().iter().collect();
        let mut first_child = Vec::new();
        while let Some(node) = nodes.get(first_child.len()) {
            first_child.push(nodes.len());
            nodes.extend(node.children());
        }
        let indices = index_by_key(nodes.iter().map(|node| key(node.span())));
        let name = |link: &Link| {
            let key = (link.span_context.trace_id(), link.span_context.span_id());
            indices.get(&key).copied().flatten().map_or("unrecorded", |index| nodes[index].name())
        };
        let open: HashMap<_, _> = tree.open_spans().iter().map(|span| (key(span), &*span.name)).collect();
        let parent = |span: &SpanData| {
            open.get(&(span.span_context.trace_id(), span.parent_span_id)).copied().unwrap_or_default()
        };
        let label = |node: &TraceNode| Label::new(node, label.map(|label| label(node)), name, parent);
        let labels = nodes.iter().copied().map(label).collect();
        let shapes = Vec::new();
        let mut forest = Self { nodes, first_child, labels, shapes };
        forest.shapes = forest.shapes();
        forest
    }

    fn children(&self, node: usize) -> Range<usize> {
        let start = self.first_child[node];
        start..start + self.nodes[node].children().len()
    }

    /// Numbers the shapes: those of leaves first, then those of nodes above leaves only, and so on. Compares numbers
    /// and not texts, because the texts of a deep tree are quadratic in its size.
    fn shapes(&self) -> Vec<usize> {
        let mut heights = vec![0; self.nodes.len()];
        let mut levels = Vec::new();
        for node in (0..self.nodes.len()).rev() {
            let height = self.children(node).map(|child| heights[child] + 1).max().unwrap_or(0);
            heights[node] = height;
            levels.resize_with(levels.len().max(height + 1), Vec::new);
            levels[height].push(node);
        }
        let mut shapes = vec![0; self.nodes.len()];
        let mut count = 0;
        for level in levels {
            let mut equal = BTreeMap::<_, Vec<_>>::new();
            for node in level {
                let mut below: Vec<_> = self.children(node).map(|child| shapes[child]).collect();
                below.sort_unstable();
                equal.entry((&self.labels[node], below)).or_default().push(node);
            }
            for nodes in equal.into_values() {
                nodes.into_iter().for_each(|node| shapes[node] = count);
                count += 1;
            }
        }
        shapes
    }

    /// Puts nodes of the same shape together, in the place of the first.
    fn fold(&self, nodes: Vec<usize>) -> Vec<Vec<usize>> {
        let mut groups = Vec::<Vec<_>>::new();
        let mut places = HashMap::new();
        for node in nodes {
            let place = *places.entry(self.shapes[node]).or_insert(groups.len());
            groups.resize_with(groups.len().max(place + 1), Vec::new);
            groups[place].push(node);
        }
        groups
    }
}

/// What is drawn of a node alone, in two parts, because the number of folded ones goes between them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Label {
    name: String,
    details: String,
}

impl Label {
    fn new<'a>(
        node: &TraceNode,
        label: Option<String>,
        name_of: impl Fn(&Link) -> &'a str,
        open_parent_of: impl Fn(&SpanData) -> &'a str,
    ) -> Self {
        let span = node.span();
        let mut details = String::new();
        if let Some(label) = label.filter(|label| !label.is_empty()) {
            details.extend([" ", &one_line(&label)]);
        }
        details.push_str(match span.span_kind {
            SpanKind::Client => " [client]",
            SpanKind::Server => " [server]",
            SpanKind::Producer => " [producer]",
            SpanKind::Consumer => " [consumer]",
            SpanKind::Internal => "",
        });
        match &span.status {
            Status::Unset => {}
            Status::Ok => details.push_str(" OK"),
            Status::Error { description } if description.is_empty() => details.push_str(" ERROR"),
            Status::Error { description } => details.extend([" ERROR: ", &one_line(description)]),
        }
        // Counted and in alphabetical order, because links come in the order of arrival, which may differ between runs.
        let mut links = BTreeMap::new();
        for link in span.links.iter() {
            *links.entry(name_of(link)).or_insert(0) += 1;
        }
        let mut separator = " ~> ";
        for (name, count) in links {
            details.extend([separator, &one_line(name)]);
            if count > 1 {
                details.push_str(&format!(" ×{count}"));
            }
            separator = ", ";
        }
        match node.parent() {
            Parent::None | Parent::Recorded => {}
            Parent::Remote => details.push_str(" (remote parent)"),
            Parent::Open => details.extend([" (parent still open: ", &one_line(open_parent_of(span)), ")"]),
            Parent::Missing => details.push_str(" (parent not recorded)"),
        }
        Self { name: one_line(node.name()), details }
    }
}

/// `1 span`, or `2 spans`.
pub(super) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Escapes what would end the line, or change how a terminal shows it.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            _ if char.is_control() => line.extend(char.escape_default()),
            _ if changes_order(char) => line.extend(char.escape_unicode()),
            _ => line.push(char),
        }
    }
    line
}

/// Whether a character changes the order in which others are shown, or the line in which they are.
pub(super) const fn changes_order(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
