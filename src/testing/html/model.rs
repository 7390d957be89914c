use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    time::{Duration, SystemTime},
};

use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceId};

use super::markup::name as shown;
use crate::testing::{
    TraceNode, TraceTree,
    drawing::one_line,
    tree::{Key, index_by_key, key},
};

/// Of very many siblings this many are shown at once; the others are there to unfold.
const SIBLINGS: usize = 20;
/// So few more are shown, too, because a fold takes a line itself.
const SLACK: usize = 5;

/// What the page shows, in its order.
pub(super) struct Model<'a> {
    /// All spans, trace after trace. The number of a row is the number of its anchor.
    pub(super) rows: Vec<Row<'a>>,
    pub(super) traces: Vec<Trace>,
    places: HashMap<Key, Option<usize>>,
    /// For each row, the rows that link to it.
    linked_from: HashMap<usize, Vec<usize>>,
}

pub(super) struct Trace {
    pub(super) id: TraceId,
    pub(super) rows: Range<usize>,
    pub(super) items: Vec<Item>,
    pub(super) start: SystemTime,
    pub(super) length: Duration,
}

pub(super) struct Row<'a> {
    pub(super) node: &'a TraceNode,
    pub(super) depth: usize,
    pub(super) parent: Option<usize>,
    /// It has not ended.
    pub(super) open: bool,
}

pub(super) enum Item {
    Row(usize),
    /// What follows, up to the end that belongs to it, is folded.
    Fold {
        names: String,
        rows: Range<usize>,
    },
    End,
}

impl<'a> Model<'a> {
    /// `tree` has all spans, also those that are in `open`.
    pub(super) fn new(tree: &'a TraceTree, open: &HashSet<Key>) -> Self {
        let mut rows = Vec::new();
        let traces = tree.traces().into_iter().map(|roots| Trace::new(roots, &mut rows, open)).collect();
        let places = index_by_key(rows.iter().map(|row: &Row<'_>| key(row.node.span())));
        let mut model = Self { rows, traces, places, linked_from: HashMap::new() };
        for from in 0..model.rows.len() {
            for link in model.rows[from].node.span().links.iter() {
                if let Some(to) = model.find(&link.span_context) {
                    let linked_from = model.linked_from.entry(to).or_default();
                    if linked_from.last() != Some(&from) {
                        linked_from.push(from);
                    }
                }
            }
        }
        model
    }

    pub(super) fn find(&self, context: &SpanContext) -> Option<usize> {
        self.places.get(&(context.trace_id(), context.span_id())).copied().flatten()
    }

    pub(super) fn linked_from(&self, row: usize) -> &[usize] {
        self.linked_from.get(&row).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn failed(&self, rows: Range<usize>) -> usize {
        self.rows[rows].iter().filter(|row| row.failed()).count()
    }

    pub(super) fn open(&self, rows: Range<usize>) -> usize {
        self.rows[rows].iter().filter(|row| row.open).count()
    }
}

impl Row<'_> {
    pub(super) fn failed(&self) -> bool {
        matches!(self.node.span().status, Status::Error { .. })
    }

    pub(super) fn kind(&self) -> Option<&'static str> {
        match self.node.span().span_kind {
            SpanKind::Client => Some("client"),
            SpanKind::Server => Some("server"),
            SpanKind::Producer => Some("producer"),
            SpanKind::Consumer => Some("consumer"),
            SpanKind::Internal => None,
        }
    }
}

enum Task<'a> {
    Show { node: &'a TraceNode, depth: usize, parent: Option<usize> },
    Fold { names: String },
    End,
}

impl Trace {
    /// Adds the rows of a trace to `all`.
    fn new<'a>(roots: Vec<&'a TraceNode>, all: &mut Vec<Row<'a>>, open: &HashSet<Key>) -> Self {
        let first = all.len();
        let id = roots[0].span().span_context.trace_id();
        let mut items = Vec::new();
        // The places of folds that have not come to their end.
        let mut folds = Vec::new();
        let mut pending = tasks(roots, 0, None);
        while let Some(task) = pending.pop() {
            match task {
                Task::Show { node, depth, parent } => {
                    let row = all.len();
                    all.push(Row { node, depth, parent, open: open.contains(&key(node.span())) });
                    items.push(Item::Row(row));
                    pending.extend(tasks(node.children().iter().collect(), depth + 1, Some(row)));
                }
                Task::Fold { names } => {
                    folds.push(items.len());
                    items.push(Item::Fold { names, rows: all.len()..all.len() });
                }
                Task::End => {
                    if let Some(Item::Fold { rows, .. }) = folds.pop().map(|fold| &mut items[fold]) {
                        rows.end = all.len();
                    }
                    items.push(Item::End);
                }
            }
        }
        let rows = first..all.len();
        let spans = || all[rows.clone()].iter().map(|row| row.node.span());
        let start = spans().map(|span| span.start_time).min().unwrap_or(SystemTime::UNIX_EPOCH);
        let end = spans().map(|span| span.start_time.max(span.end_time)).max().unwrap_or(start);
        Self { id, items, start, length: end.duration_since(start).unwrap_or_default(), rows }
    }
}

/// What to do for these siblings; the last task is the first to be done.
fn tasks<'a>(siblings: Vec<&'a TraceNode>, depth: usize, parent: Option<usize>) -> Vec<Task<'a>> {
    let show = |node: &&'a TraceNode| Task::Show { node, depth, parent };
    if siblings.len() <= SIBLINGS + SLACK {
        return siblings.iter().rev().map(show).collect();
    }
    let (shown, folded) = siblings.split_at(SIBLINGS);
    let mut tasks = vec![Task::End];
    tasks.extend(folded.iter().rev().map(show));
    tasks.push(Task::Fold { names: names(folded) });
    tasks.extend(shown.iter().rev().map(show));
    tasks
}

/// The names of siblings, the most frequent first.
fn names(siblings: &[&TraceNode]) -> String {
    const SHOWN: usize = 3;
    let mut counts = BTreeMap::new();
    for sibling in siblings {
        *counts.entry(sibling.name()).or_insert(0_usize) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut names: Vec<_> =
        counts.iter().take(SHOWN).map(|(name, count)| format!("{} ×{count}", one_line(shown(name)))).collect();
    let others: usize = counts.iter().skip(SHOWN).map(|(_, count)| count).sum();
    if others > 0 {
        names.push(format!("others ×{others}"));
    }
    names.join(", ")
}
