//! Where the boxes and lines of a small directed graph go, from left to right.
//!
//! The method is Sugiyama's: no edge against the stream, a layer for each step from a source, an order in each layer that
//! has few crossings, and places that make lines straight. An edge's label is a box in a layer of its own between those of
//! boxes, so labels overlap nothing.

mod layers;

use std::collections::{BTreeMap, HashMap};

use layers::{Layers, Place};

/// The room that a box takes, and what it takes above and below its middle.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) above: f64,
    pub(super) below: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Size,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The middle of each box's left side.
    pub(super) boxes: Vec<Point>,
    pub(super) lines: Vec<Path>,
}

#[derive(Debug, Default)]
pub(super) struct Path {
    /// The middle of the label's left side.
    pub(super) label: Point,
    /// From box to box: a curve to each second point, and a straight line to the others.
    pub(super) points: Vec<Point>,
}

/// Between two layers, and between two boxes in one.
const GAP: Point = Point { x: 32.0, y: 18.0 };
/// Between the ends of two lines on one side of a box.
const PORTS: f64 = 14.0;

/// Lays out boxes, and lines between different ones. A line from a box to itself has no points: its label has to be in
/// the box's own size.
pub(super) fn layout(boxes: &[Size], lines: &[Line]) -> Layout {
    let layers = Layers::new(boxes, lines);
    let width_of = |layer: &[usize]| layer.iter().map(|&place| layers.places[place].size.width).fold(0.0, f64::max);
    let mut left = Vec::with_capacity(layers.order.len());
    let mut x = 0.0;
    for layer in &layers.order {
        left.push(x);
        x += width_of(layer) + GAP.x;
    }
    let ys = layers.ys(GAP.y);
    let top = |place: usize| ys[place] - layers.places[place].size.above;
    let lowest = (0..ys.len()).map(top).fold(f64::INFINITY, f64::min);
    let highest = (0..ys.len()).map(|place| ys[place] + layers.places[place].size.below).fold(0.0, f64::max);
    let lowest = if lowest.is_finite() { lowest } else { 0.0 };

    // Labels and bends are in the middle of their layer, boxes too.
    let at = |place: usize| {
        let Place { layer, size, .. } = layers.places[place];
        let spare = width_of(&layers.order[layer]) - size.width;
        Point { x: left[layer] + spare / 2.0, y: ys[place] - lowest }
    };
    let whole = |place: usize| (left[layers.places[place].layer], width_of(&layers.order[layers.places[place].layer]));
    let ports = Ports::new(&layers, &ys);
    let lines = layers.chains.iter().enumerate().map(|(line, chain)| {
        let [first, bends @ .., last] = chain.as_slice() else { return Path::default() };
        let out = at(*first);
        let mut points =
            vec![Point { x: out.x + layers.places[*first].size.width, y: out.y + ports.shift(line, *first) }];
        for &bend in bends {
            let ((x, width), y) = (whole(bend), at(bend).y);
            points.extend([Point { x, y }, Point { x: x + width, y }]);
        }
        let end = at(*last);
        points.push(Point { x: end.x, y: end.y + ports.shift(line, *last) });
        if layers.reversed[line] {
            points.reverse();
        }
        Path { label: layers.labels[line].map(at).unwrap_or_default(), points }
    });
    Layout {
        width: (x - GAP.x).max(0.0),
        height: (highest - lowest).max(0.0),
        boxes: (0..boxes.len()).map(at).collect(),
        lines: lines.collect(),
    }
}

/// Where the lines leave and reach a box, so that no two do at one point.
struct Ports(HashMap<(usize, usize), f64>);

impl Ports {
    fn new(layers: &Layers, ys: &[f64]) -> Self {
        let mut shifts = HashMap::new();
        // The lines at each box's side, by where they lead.
        let mut sides = BTreeMap::<(usize, bool), Vec<(usize, f64)>>::new();
        for (line, chain) in layers.chains.iter().enumerate() {
            if let ([first, second, ..], [.., before, last]) = (chain.as_slice(), chain.as_slice()) {
                sides.entry((*first, true)).or_default().push((line, ys[*second]));
                sides.entry((*last, false)).or_default().push((line, ys[*before]));
            }
        }
        for ((place, _), mut lines) in sides {
            lines.sort_by(|a, b| a.1.total_cmp(&b.1));
            let size = layers.places[place].size;
            let room = 2.0 * size.above.min(size.below);
            let step = PORTS.min(room / (lines.len() + 1) as f64);
            for (n, (line, _)) in lines.iter().enumerate() {
                shifts.insert((*line, place), (n as f64 - (lines.len() - 1) as f64 / 2.0) * step);
            }
        }
        Self(shifts)
    }

    fn shift(&self, line: usize, place: usize) -> f64 {
        self.0.get(&(line, place)).copied().unwrap_or_default()
    }
}
