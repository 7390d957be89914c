use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt, iter, mem, slice,
    sync::Arc,
};

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::{Resource, trace::SpanData};

use super::{
    ServiceGraph, TreeDisplay, TreeHtml,
    drawing::{counted, one_line},
    origin::{Origin, Recorded},
};

/// The tree that finished spans form, or the forest if they have several roots.
///
/// Use it in tests, to ask which spans belong together and to see them: it [draws](Self::display) itself. Roots and
/// children are in the order in which they started; of those that started at the same time, the first in `spans`
/// comes first. [`open_spans`](Self::open_spans) lists the spans that have not ended; they are no part of the tree.
///
/// # Guarantees
///
/// No span is dropped, whatever the ids say: a span without a recorded parent is a root, and its
/// [`Parent`] says why. Depth and width are limited by memory only. A clone is cheap.
///
/// # Examples
///
/// ```
/// use ctxhop::testing::TraceRecorder;
/// use opentelemetry::{Context, trace::{TraceContextExt, Tracer}};
///
/// let recorder = TraceRecorder::new();
/// let tracer = recorder.tracer("shop");
/// tracer.in_span("order", |_| {
///     tracer.in_span("charge", |_| {});
///     tracer.in_span("ship", |_| {});
/// });
///
/// let tree = recorder.tree();
/// let order = tree.assert_single_trace();
/// assert_eq!(order.children().iter().map(|child| child.name()).collect::<Vec<_>>(), ["charge", "ship"]);
/// assert_eq!(tree.display().durations(false).to_string(), "\
/// order
/// ├─ charge
/// └─ ship");
/// ```
#[derive(Clone)]
pub struct TraceTree {
    roots: Arc<[TraceNode]>,
    open: Arc<[SpanData]>,
    /// The origins of the open spans.
    open_origins: Arc<[Origin]>,
    traces: usize,
}

impl TraceTree {
    /// Puts spans together, in whatever order they come.
    ///
    /// Use it for spans that something other than a [`TraceRecorder`](super::TraceRecorder) has collected.
    pub fn new(spans: impl IntoIterator<Item = SpanData>) -> Self {
        let origin = Origin::default();
        Self::with_open(spans.into_iter().map(|span| Recorded { span, origin: origin.clone() }), Vec::new())
    }

    /// Like [`new`](Self::new), for spans of which it is known who made them.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::{TraceRecorder, TraceTree};
    /// use opentelemetry::trace::Tracer;
    /// use opentelemetry_sdk::Resource;
    ///
    /// # let recorder = TraceRecorder::new();
    /// # recorder.tracer("stock").in_span("reserve", |_| {});
    /// # let received = recorder.spans();
    /// let stock = Resource::builder().with_service_name("stock").build();
    /// let tree = TraceTree::with_resources(received.into_iter().map(|span| (stock.clone(), span)));
    /// assert_eq!(tree.roots()[0].service(), "stock");
    /// ```
    pub fn with_resources(spans: impl IntoIterator<Item = (Resource, SpanData)>) -> Self {
        let recorded = |(resource, span)| Recorded { span, origin: Origin::new(&resource) };
        Self::with_open(spans.into_iter().map(recorded), Vec::new())
    }

    pub(super) fn with_open(recorded: impl IntoIterator<Item = Recorded>, open: Vec<Recorded>) -> Self {
        let mut recorded: Vec<_> = recorded.into_iter().collect();
        recorded.sort_by_key(|recorded| recorded.span.start_time);
        let (spans, origins): (Vec<_>, Vec<_>) =
            recorded.into_iter().map(|recorded| (recorded.span, recorded.origin)).unzip();
        let (open, open_origins): (Vec<_>, Vec<_>) = open.into_iter().map(|open| (open.span, open.origin)).unzip();
        let traces: HashSet<_> = spans.iter().map(|span| span.span_context.trace_id()).collect();
        let mut places = find_parents(&spans, &open);
        let leaves_first = cut_cycles(&mut places);

        let mut children = vec![Vec::new(); spans.len()];
        for (index, place) in places.iter().enumerate() {
            if let Some(parent) = place.parent {
                children[parent].push(index);
            }
        }
        let node = |((span, origin), place): (_, &Place)| {
            Some(TraceNode { span, origin, parent: place.why, children: Vec::new() })
        };
        let mut nodes: Vec<_> = spans.into_iter().zip(origins).zip(&places).map(node).collect();
        for index in leaves_first {
            let taken = mem::take(&mut children[index]).into_iter().filter_map(|child| nodes[child].take()).collect();
            if let Some(node) = &mut nodes[index] {
                node.children = taken;
            }
        }
        Self {
            roots: nodes.into_iter().flatten().collect(),
            open: open.into(),
            open_origins: open_origins.into(),
            traces: traces.len(),
        }
    }

    /// The spans without a recorded parent; each one's [`parent`](TraceNode::parent) says why.
    #[must_use]
    pub fn roots(&self) -> &[TraceNode] {
        &self.roots
    }

    /// How many distinct trace ids the spans have.
    ///
    /// It is less than the number of roots when a trace is in pieces.
    #[must_use]
    pub const fn trace_count(&self) -> usize {
        self.traces
    }

    /// The roots of each trace, in the order in which their first roots started.
    ///
    /// Use it to look at each trace by itself. A trace that has more than one root is in pieces.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// let recorder = TraceRecorder::new();
    /// let tracer = recorder.tracer("shop");
    /// for order in ["order 1", "order 2"] {
    ///     tracer.in_span(order, |_| tracer.in_span("ship", |_| {}));
    /// }
    /// for roots in recorder.tree().traces() {
    ///     assert_eq!(roots[0].children()[0].name(), "ship");
    /// }
    /// ```
    #[must_use]
    pub fn traces(&self) -> Vec<Vec<&TraceNode>> {
        let mut places = HashMap::new();
        let mut traces = Vec::<Vec<_>>::with_capacity(self.traces);
        for root in self.roots() {
            let place = *places.entry(root.span.span_context.trace_id()).or_insert(traces.len());
            if place == traces.len() {
                traces.push(Vec::new());
            }
            traces[place].push(root);
        }
        traces
    }

    /// The spans that had started and not ended when the recorder made this tree, in the order in which they started.
    ///
    /// Each is as it was when it started; see [`TraceRecorder::open_spans`](super::TraceRecorder::open_spans). A tree
    /// that is [made by hand](Self::new) knows of none.
    #[must_use]
    pub fn open_spans(&self) -> &[SpanData] {
        &self.open
    }

    /// The first span of this name, top down and in order of start, which is the order of the default drawing.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&TraceNode> {
        self.find_all(name).next()
    }

    /// All spans of this name, top down and in order of start.
    pub fn find_all(&self, name: &str) -> impl Iterator<Item = &TraceNode> {
        top_down(&self.roots).filter(move |node| node.name() == name)
    }

    /// Asserts that the spans are one tree, and returns its root.
    ///
    /// Use it as the one-line test that no hop on the way has lost the context. A root whose parent is remote is fine.
    ///
    /// # Panics
    ///
    /// When there is no root, more than one, or one whose parent is [open](Parent::Open) or
    /// [missing](Parent::Missing). The message holds the drawing, and the spans still open.
    ///
    /// # Examples
    ///
    /// ```should_panic
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// let recorder = TraceRecorder::new();
    /// drop(recorder.tracer("shop").start("order"));
    /// drop(recorder.tracer("shop").start("ship"));
    /// recorder.tree().assert_single_trace();
    /// ```
    #[track_caller]
    pub fn assert_single_trace(&self) -> &TraceNode {
        self.assert_whole(1, "a single trace")[0]
    }

    /// Asserts that the spans are this many trees, each a trace of its own, and returns their roots in the order in
    /// which they started.
    ///
    /// Use it where a test makes several requests. A root whose parent is remote is fine.
    ///
    /// # Panics
    ///
    /// When there are more or fewer traces, a trace has several roots, or the parent of a root is [open](Parent::Open)
    /// or [missing](Parent::Missing). The message holds the drawing, and the spans still open.
    ///
    /// # Examples
    ///
    /// ```
    /// use ctxhop::testing::TraceRecorder;
    /// use opentelemetry::trace::Tracer;
    ///
    /// let recorder = TraceRecorder::new();
    /// let tracer = recorder.tracer("shop");
    /// for order in ["order 1", "order 2"] {
    ///     tracer.in_span(order, |_| tracer.in_span("ship", |_| {}));
    /// }
    /// let tree = recorder.tree();
    /// assert_eq!(tree.assert_traces(2)[1].name(), "order 2");
    /// ```
    #[track_caller]
    pub fn assert_traces(&self, traces: usize) -> Vec<&TraceNode> {
        self.assert_whole(traces, &counted(traces, "trace"))
    }

    #[track_caller]
    fn assert_whole(&self, traces: usize, expected: &str) -> Vec<&TraceNode> {
        let fail = |found: &str| -> ! { panic!("expected {expected}, but {found}{}", self.with_open_spans()) };
        let roots = self.roots.len();
        if roots != traces || self.traces != traces {
            match (roots, self.traces) {
                (0, _) => fail("there are no finished spans\n"),
                (1, _) => fail("there is 1 root:\n"),
                (_, found) => {
                    let orphan = self.roots().iter().find(|root| found == traces && root.parent == Parent::Open);
                    let why = |root: &TraceNode| format!(", and the parent of {:?} is still open", root.name());
                    let why = orphan.map(why).unwrap_or_default();
                    fail(&format!("there are {roots} roots in {}{why}:\n", counted(found, "trace")))
                }
            }
        }
        for root in self.roots() {
            match root.parent {
                Parent::Open => fail(&format!("the parent of the root {:?} is still open:\n", root.name())),
                Parent::Missing => fail(&format!("the parent of the root {:?} is missing:\n", root.name())),
                Parent::None | Parent::Recorded | Parent::Remote => {}
            }
        }
        self.roots().iter().collect()
    }

    /// Which service calls which, by what, and how often.
    ///
    /// [`ServiceGraph`] says what counts as a call.
    #[must_use]
    pub fn services(&self) -> ServiceGraph {
        ServiceGraph::new(self)
    }

    /// The tree as a web page, which [`TreeHtml`] describes.
    pub const fn html(&self) -> TreeHtml<'_> {
        TreeHtml::new(self)
    }

    /// The tree that this one is once its open spans are in it, too.
    pub(super) fn with_open_as_finished(&self) -> Self {
        if self.open.is_empty() {
            return self.clone();
        }
        let recorded = |(span, origin): (&SpanData, &Origin)| Recorded { span: span.clone(), origin: origin.clone() };
        Self::with_open(self.all().map(recorded), Vec::new())
    }

    /// All spans, finished and open, and who made each.
    pub(super) fn all(&self) -> impl Iterator<Item = (&SpanData, &Origin)> {
        let finished = top_down(&self.roots).map(|node| (&node.span, &node.origin));
        finished.chain(self.open.iter().zip(self.open_origins.iter()))
    }

    /// The tree as text, which [`TreeDisplay`] describes.
    pub const fn display(&self) -> TreeDisplay<'_> {
        TreeDisplay::new(self)
    }

    /// The drawing for a panic's message.
    pub(super) fn with_open_spans(&self) -> String {
        let mut text = self.to_string();
        if !self.open.is_empty() {
            let mut names = BTreeMap::new();
            for span in self.open.iter() {
                *names.entry(one_line(&span.name)).or_insert(0) += 1;
            }
            let names = names.into_iter().map(|(name, n)| if n == 1 { name } else { format!("{name} ×{n}") });
            let separator = if text.is_empty() { "" } else { "\n" };
            text += &format!("{separator}still open: {}", names.collect::<Vec<_>>().join(", "));
        }
        text
    }
}

/// Like [`display()`](TraceTree::display).
impl fmt::Display for TraceTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display().fmt(f)
    }
}

/// Numbers only, because depth may be great: [`Display`](fmt::Display) shows the spans.
impl fmt::Debug for TraceTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceTree")
            .field("traces", &self.traces)
            .field("roots", &self.roots.len())
            .field("spans", &top_down(&self.roots).count())
            .field("open", &self.open.len())
            .finish()
    }
}

/// A span in a [`TraceTree`], and all that is below it.
pub struct TraceNode {
    span: SpanData,
    origin: Origin,
    parent: Parent,
    children: Vec<TraceNode>,
}

impl TraceNode {
    /// The finished span.
    #[must_use]
    pub const fn span(&self) -> &SpanData {
        &self.span
    }

    /// The span's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// The name of the service that made the span, which is `service.name` of the [resource](Self::resource).
    ///
    /// It is `unknown_service` where nothing tells, as the SDK has it. The SDK adds the program's name where it can:
    /// `unknown_service:shop`.
    #[must_use]
    pub fn service(&self) -> &str {
        self.origin.service()
    }

    /// The resource of the provider that made the span.
    ///
    /// A tree that is [made by hand](TraceTree::new) knows of none, unless it is [told](TraceTree::with_resources).
    #[must_use]
    pub fn resource(&self) -> Option<&Resource> {
        self.origin.resource()
    }

    /// The spans that have this one as their parent, in the order in which they started.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    /// What is known of this span's parent.
    #[must_use]
    pub const fn parent(&self) -> Parent {
        self.parent
    }

    /// This span and all below it, top down and in order of start.
    pub fn descendants(&self) -> impl Iterator<Item = &Self> {
        top_down(slice::from_ref(self))
    }
}

impl fmt::Debug for TraceNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceNode")
            .field("span", &self.span)
            .field("service", &self.origin)
            .field("parent", &self.parent)
            .field("children", &self.children.len())
            .finish()
    }
}

/// Level by level, because the compiler's own drop would overflow the stack on a deep trace.
impl Drop for TraceNode {
    fn drop(&mut self) {
        let mut pending = mem::take(&mut self.children);
        while let Some(mut node) = pending.pop() {
            pending.append(&mut node.children);
        }
    }
}

/// What is known of a span's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parent {
    /// It has none: the span is the root of its trace.
    None,
    /// It is recorded, and the span is among its children.
    Recorded,
    /// It is in another process, and not recorded.
    Remote,
    /// It is in this process, and has not ended yet: it is among the [open spans](TraceTree::open_spans).
    Open,
    /// It is in this process, but lost: it has not ended, and it is not open. It is not sampled, or another provider made
    /// it, or [`clear`](super::TraceRecorder::clear) forgot it.
    ///
    /// Also where the ids make no tree: several recorded spans have the parent's id, or the span is its own ancestor.
    /// A tree that is [made by hand](TraceTree::new) cannot tell open from lost, and says this for both.
    Missing,
}

fn top_down(roots: &[TraceNode]) -> impl Iterator<Item = &TraceNode> {
    let mut pending: Vec<_> = roots.iter().rev().collect();
    iter::from_fn(move || {
        let node = pending.pop()?;
        pending.extend(node.children.iter().rev());
        Some(node)
    })
}

pub(super) type Key = (TraceId, SpanId);

/// Finds spans by their ids; `None` where an id is not unique. Two traces may use the same span id.
pub(super) fn index_by_key(spans: impl Iterator<Item = Key>) -> HashMap<Key, Option<usize>> {
    let mut indices = HashMap::new();
    for (index, key) in spans.enumerate() {
        indices.entry(key).and_modify(|found| *found = None).or_insert(Some(index));
    }
    indices
}

pub(super) fn key(span: &SpanData) -> Key {
    (span.span_context.trace_id(), span.span_context.span_id())
}

struct Place {
    parent: Option<usize>,
    why: Parent,
}

fn find_parents(spans: &[SpanData], open: &[SpanData]) -> Vec<Place> {
    let indices = index_by_key(spans.iter().map(key));
    let open: HashSet<_> = open.iter().map(key).collect();
    let place = |span: &SpanData| {
        if span.parent_span_id == SpanId::INVALID {
            return Place { parent: None, why: Parent::None };
        }
        let parent = (span.span_context.trace_id(), span.parent_span_id);
        match indices.get(&parent) {
            Some(&Some(index)) => Place { parent: Some(index), why: Parent::Recorded },
            None if open.contains(&parent) => Place { parent: None, why: Parent::Open },
            None if span.parent_span_is_remote => Place { parent: None, why: Parent::Remote },
            Some(None) | None => Place { parent: None, why: Parent::Missing },
        }
    };
    spans.iter().map(place).collect()
}

/// Makes roots of all spans on a cycle, and returns all indices, children before their parents.
///
/// All of them, and not one per cycle, because any choice would depend on the order of the spans.
fn cut_cycles(places: &mut [Place]) -> Vec<usize> {
    let mut children = vec![0_usize; places.len()];
    for parent in places.iter().filter_map(|place| place.parent) {
        children[parent] += 1;
    }
    // Take away leaves as long as there are any: what stays has a child that stays, and so is on a cycle.
    let mut taken: Vec<_> = (0..places.len()).filter(|&index| children[index] == 0).collect();
    let mut next = 0;
    while let Some(&index) = taken.get(next) {
        next += 1;
        if let Some(parent) = places[index].parent {
            children[parent] -= 1;
            if children[parent] == 0 {
                taken.push(parent);
            }
        }
    }
    for index in (0..places.len()).filter(|&index| children[index] > 0) {
        places[index] = Place { parent: None, why: Parent::Missing };
        taken.push(index);
    }
    taken
}
