use super::{Line, Size};

/// Boxes, labels and bends, each in a layer, and their order in it.
pub(super) struct Layers {
    /// The boxes come first.
    pub(super) places: Vec<Place>,
    /// The places of each layer, from top to bottom.
    pub(super) order: Vec<Vec<usize>>,
    /// The places that each line goes through, from left to right. None, if it goes from a box to itself.
    pub(super) chains: Vec<Vec<usize>>,
    /// Whether a line goes from right to left.
    pub(super) reversed: Vec<bool>,
    pub(super) labels: Vec<Option<usize>>,
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) size: Size,
}

/// How often the order and the places are made better, each time from both sides.
const SWEEPS: usize = 12;

impl Layers {
    pub(super) fn new(boxes: &[Size], lines: &[Line]) -> Self {
        let reversed = against_the_stream(boxes.len(), lines);
        let ends = |line: usize| {
            let Line { from, to, .. } = lines[line];
            if reversed[line] { (to, from) } else { (from, to) }
        };
        let pairs: Vec<_> = (0..lines.len()).map(ends).filter(|(from, to)| from != to).collect();
        // Labels are in the layers between.
        let steps = steps(boxes.len(), &pairs);
        let mut places: Vec<_> =
            boxes.iter().zip(&steps).map(|(&size, step)| Place { layer: 2 * step, size }).collect();
        let mut chains = vec![Vec::new(); lines.len()];
        let mut labels = vec![None; lines.len()];
        for line in 0..lines.len() {
            let (from, to) = ends(line);
            if from == to {
                continue;
            }
            let (first, last) = (places[from].layer, places[to].layer);
            // Near the middle of the line.
            let labelled = (first + last) / 2;
            let labelled = if labelled % 2 == 1 { labelled } else { labelled - 1 };
            chains[line].push(from);
            for layer in first + 1..last {
                if layer == labelled {
                    labels[line] = Some(places.len());
                }
                chains[line].push(places.len());
                let size = if layer == labelled { lines[line].label } else { Size::default() };
                places.push(Place { layer, size });
            }
            chains[line].push(to);
        }
        let count = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
        let mut order = vec![Vec::new(); count];
        for (place, Place { layer, .. }) in places.iter().enumerate() {
            order[*layer].push(place);
        }
        let mut layers = Self { places, order, chains, reversed, labels };
        layers.untangle();
        layers
    }

    /// The neighbours of each place in the layers before and after it.
    fn neighbours(&self) -> [Vec<Vec<usize>>; 2] {
        let mut neighbours = [vec![Vec::new(); self.places.len()], vec![Vec::new(); self.places.len()]];
        for pair in self.chains.iter().flat_map(|chain| chain.windows(2)) {
            neighbours[1][pair[0]].push(pair[1]);
            neighbours[0][pair[1]].push(pair[0]);
        }
        neighbours
    }

    /// Sorts each layer by the middle of each place's neighbours, from the left and from the right, and keeps the order
    /// that has the fewest crossings.
    fn untangle(&mut self) {
        let neighbours = self.neighbours();
        let mut best = (self.crossings(&neighbours), self.order.clone());
        for sweep in 0..2 * SWEEPS {
            let side = sweep % 2;
            let layers: Vec<_> =
                if side == 0 { (0..self.order.len()).collect() } else { (0..self.order.len()).rev().collect() };
            let mut rank = self.ranks();
            for layer in layers {
                let middle = |&place: &usize| {
                    let near = &neighbours[side][place];
                    match near.len() {
                        // It stays about where it is.
                        0 => rank[place],
                        count => near.iter().map(|&near| rank[near]).sum::<f64>() / count as f64,
                    }
                };
                let mut sorted: Vec<_> = self.order[layer].iter().map(|place| (middle(place), *place)).collect();
                sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.order[layer] = sorted.into_iter().map(|(_, place)| place).collect();
                rank_layer(&self.order[layer], &mut rank);
            }
            let crossings = self.crossings(&neighbours);
            if crossings < best.0 {
                best = (crossings, self.order.clone());
            }
            if best.0 == 0 {
                break;
            }
        }
        self.order = best.1;
    }

    /// Where in its layer each place is, from 0 to 1, so that layers of different sizes can be compared.
    fn ranks(&self) -> Vec<f64> {
        let mut ranks = vec![0.0; self.places.len()];
        for layer in &self.order {
            rank_layer(layer, &mut ranks);
        }
        ranks
    }

    fn crossings(&self, neighbours: &[Vec<Vec<usize>>; 2]) -> usize {
        let mut at = vec![0; self.places.len()];
        for layer in &self.order {
            layer.iter().enumerate().for_each(|(n, &place)| at[place] = n);
        }
        let mut crossings = 0;
        for layer in &self.order {
            // The right ends of lines, by their left ends: each that is out of order is a crossing.
            let mut ends = Vec::new();
            for &place in layer {
                let mut right: Vec<_> = neighbours[1][place].iter().map(|&near| at[near]).collect();
                right.sort_unstable();
                ends.extend(right);
            }
            crossings += inversions(&mut ends);
        }
        crossings
    }

    /// The middle of each place, from the top: as near to its neighbours' as the order allows.
    pub(super) fn ys(&self, gap: f64) -> Vec<f64> {
        let neighbours = self.neighbours();
        let mut ys = vec![0.0; self.places.len()];
        for layer in &self.order {
            self.put(layer, &vec![0.0; layer.len()], gap, &mut ys);
        }
        for sweep in 0..2 * SWEEPS {
            let layers: Vec<_> =
                if sweep % 2 == 0 { (0..self.order.len()).collect() } else { (0..self.order.len()).rev().collect() };
            // Last of all by both sides.
            let sides: &[usize] = if sweep + 2 >= 2 * SWEEPS { &[0, 1] } else { &[sweep % 2] };
            for layer in layers {
                let wish = |&place: &usize| {
                    let near = || sides.iter().flat_map(|&side| &neighbours[side][place]);
                    match near().count() {
                        0 => ys[place],
                        count => near().map(|&near| ys[near]).sum::<f64>() / count as f64,
                    }
                };
                let wishes: Vec<_> = self.order[layer].iter().map(wish).collect();
                self.put(&self.order[layer], &wishes, gap, &mut ys);
            }
        }
        ys
    }

    /// Puts the places of a layer as near to where they wish to be as their order and sizes allow: where some are in
    /// each other's way, they stand close together, around the mean of their wishes.
    fn put(&self, layer: &[usize], wishes: &[f64], gap: f64, ys: &mut [f64]) {
        // How far each is below the first if all stand close together.
        let mut close = Vec::with_capacity(layer.len());
        let mut offset = 0.0;
        for (n, &place) in layer.iter().enumerate() {
            if n > 0 {
                offset += self.places[layer[n - 1]].size.below + gap + self.places[place].size.above;
            }
            close.push(offset);
        }
        // Groups that stand close together: their mean wish for the first one, and how many they are.
        let mut groups = Vec::<(f64, usize)>::new();
        for (wish, close) in wishes.iter().zip(&close) {
            groups.push((wish - close, 1));
            while let [.., (above, n), (below, m)] = groups.as_slice() {
                if above <= below {
                    break;
                }
                let joined = ((above * *n as f64 + below * *m as f64) / (n + m) as f64, n + m);
                groups.truncate(groups.len() - 2);
                groups.push(joined);
            }
        }
        let firsts = groups.into_iter().flat_map(|(first, count)| std::iter::repeat_n(first, count));
        for ((&place, close), first) in layer.iter().zip(close).zip(firsts) {
            ys[place] = first + close;
        }
    }
}

fn rank_layer(layer: &[usize], ranks: &mut [f64]) {
    for (n, &place) in layer.iter().enumerate() {
        ranks[place] = (n as f64 + 0.5) / layer.len() as f64;
    }
}

/// How many pairs of numbers are out of order. Sorts them.
fn inversions(numbers: &mut Vec<usize>) -> usize {
    let mut sorted = Vec::with_capacity(numbers.len());
    let mut count = 0;
    for &number in numbers.iter() {
        let place = sorted.partition_point(|&other| other <= number);
        count += sorted.len() - place;
        sorted.insert(place, number);
    }
    *numbers = sorted;
    count
}

/// Which lines close a cycle. Without them, or turned around, there is none. A search in depth from each box that no line
/// leads to, and then from each that is left, finds them.
fn against_the_stream(boxes: usize, lines: &[Line]) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Above,
        Done,
    }
    let mut out = vec![Vec::new(); boxes];
    let mut led_to = vec![false; boxes];
    for (line, Line { from, to, .. }) in lines.iter().enumerate() {
        if from != to {
            out[*from].push(line);
            led_to[*to] = true;
        }
    }
    let mut reversed = vec![false; lines.len()];
    let mut seen = vec![Seen::Not; boxes];
    let starts = (0..boxes).filter(|&start| !led_to[start]).chain(0..boxes);
    for start in starts {
        if seen[start] != Seen::Not {
            continue;
        }
        seen[start] = Seen::Above;
        let mut path = vec![(start, 0)];
        while let Some((from, next)) = path.last_mut() {
            let Some(&line) = out[*from].get(*next) else {
                seen[*from] = Seen::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let to = lines[line].to;
            match seen[to] {
                Seen::Above => reversed[line] = true,
                Seen::Done => {}
                Seen::Not => {
                    seen[to] = Seen::Above;
                    path.push((to, 0));
                }
            }
        }
    }
    reversed
}

/// For each box, the longest way to it from a source. The pairs have no cycle.
fn steps(boxes: usize, pairs: &[(usize, usize)]) -> Vec<usize> {
    let mut out = vec![Vec::new(); boxes];
    let mut waits_for = vec![0; boxes];
    for &(from, to) in pairs {
        out[from].push(to);
        waits_for[to] += 1;
    }
    let mut steps = vec![0; boxes];
    let mut ready: Vec<_> = (0..boxes).filter(|&at| waits_for[at] == 0).collect();
    let sources = ready.clone();
    while let Some(from) = ready.pop() {
        for &to in &out[from] {
            steps[to] = steps[to].max(steps[from] + 1);
            waits_for[to] -= 1;
            if waits_for[to] == 0 {
                ready.push(to);
            }
        }
    }
    // A source goes right before the first that it leads to.
    for source in sources {
        if let Some(first) = out[source].iter().map(|&to| steps[to]).min() {
            steps[source] = first - 1;
        }
    }
    steps
}
