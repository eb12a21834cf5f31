//! Trees in the order of a cache, eight walked at once. Pure arithmetic; no I/O.
//!
//! A step down a tree waits for a load, and the next for that step; eight trees side by side wait together. Their leaves are added in
//! the trees' own order: sums of floats depend on it, and ours are to be those of the library that trained the model.
//!
//! Eight trees of few levels are made complete (what lies below a leaf is that leaf again) and laid out level by level, the eight
//! side by side, so that no pointers are needed. Where that would waste memory, nodes point to their pair of children instead, a leaf
//! points to itself, and the walk ends when all eight stay where they are.

use crate::number::Number;
use crate::slots::{Ask, Slots};
use crate::tree::{Kind, Tree};

/// Trees walked at once.
const LANES: usize = 8;
/// Most levels of splits that are made complete.
const DEEPEST_COMPLETE: usize = 8;
/// Complete trees may take so many times the nodes that the trees have.
const MOST_WASTE: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Forest<T> {
    slots: Slots,
    groups: Vec<Group<T>>,
}

/// Eight trees or, at the end, fewer, in their order in the model.
#[derive(Clone, Debug)]
struct Group<T> {
    /// Which output each adds to.
    outputs: Vec<u32>,
    shape: Shape<T>,
}

#[derive(Clone, Debug)]
enum Shape<T> {
    Complete(Complete<T>),
    Linked(Linked<T>),
}

/// Complete trees: in `asks` node `n` of level `l` is at `2^l - 1 + n`, in `leaves` leaf `n` at `n`, a lane for each tree.
#[derive(Clone, Debug)]
struct Complete<T> {
    depth: usize,
    asks: Vec<[Ask<T>; LANES]>,
    leaves: Vec<[T; LANES]>,
}

/// Trees whose nodes name the first of their two children.
#[derive(Clone, Debug)]
struct Linked<T> {
    roots: [u32; LANES],
    nodes: Vec<Link<T>>,
    values: Vec<T>,
}

#[derive(Clone, Copy, Debug)]
struct Link<T> {
    ask: Ask<T>,
    yes: u32,
}

impl<T: Number> Forest<T> {
    pub(crate) fn new(trees: &[Tree]) -> Self {
        let mut slots = Slots::new();
        let groups = trees.chunks(LANES).map(|trees| Group::new(trees, &mut slots)).collect();
        slots.settle();
        Self { slots, groups }
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Gives the leaf of each tree to `add`, with its row and output, in the trees' order. `slots` are those of rows, one behind the
    /// other: eight trees stay in the nearest cache while all rows pass.
    pub(crate) fn walk(&self, slots: &[T], mut add: impl FnMut(usize, usize, T)) {
        for group in &self.groups {
            for (row, slots) in slots.chunks_exact(self.slots.len()).enumerate() {
                group.walk(slots, |output, leaf| add(row, output, leaf));
            }
        }
    }
}

impl<T: Number> Group<T> {
    fn new(trees: &[Tree], slots: &mut Slots) -> Self {
        let depth = trees.iter().map(Tree::depth).max().unwrap_or(0);
        let nodes: usize = trees.iter().map(|tree| tree.nodes.len()).sum();
        let complete = depth <= DEEPEST_COMPLETE && (LANES << (depth + 1)) <= MOST_WASTE * nodes.max(LANES);
        Self {
            outputs: trees.iter().map(|tree| tree.output as u32).collect(),
            shape: if complete {
                Shape::Complete(Complete::new(trees, depth, slots))
            } else {
                Shape::Linked(Linked::new(trees, slots))
            },
        }
    }

    #[inline]
    fn walk(&self, slots: &[T], mut add: impl FnMut(usize, T)) {
        let leaves = match &self.shape {
            Shape::Complete(trees) => trees.walk(slots),
            Shape::Linked(trees) => trees.walk(slots),
        };
        for (output, leaf) in self.outputs.iter().zip(leaves) {
            add(*output as usize, leaf);
        }
    }
}

impl<T: Number> Complete<T> {
    fn new(trees: &[Tree], depth: usize, slots: &mut Slots) -> Self {
        let (asks, leaves) = (vec![[Ask::default(); LANES]; (1 << depth) - 1], vec![[T::default(); LANES]; 1 << depth]);
        let mut complete = Self { depth, asks, leaves };
        for (lane, tree) in trees.iter().enumerate() {
            complete.lay(tree, slots, lane);
        }
        complete
    }

    /// Lays out one tree. Places left as they were made ask the first slot for less than zero: yes.
    fn lay(&mut self, tree: &Tree, slots: &mut Slots, lane: usize) {
        let mut waiting = vec![(0, 0, 0)];
        while let Some((at, level, place)) = waiting.pop() {
            match &tree.nodes[at].kind {
                Kind::Split(split) => {
                    self.asks[(1 << level) - 1 + place][lane] = slots.place(split);
                    waiting.push((split.yes, level + 1, 2 * place));
                    waiting.push((split.no, level + 1, 2 * place + 1));
                }
                Kind::Leaf(value) => self.leaves[place << (self.depth - level)][lane] = T::of(*value),
            }
        }
    }

    #[inline]
    fn walk(&self, slots: &[T]) -> [T; LANES] {
        let mut places = [0; LANES];
        if self.depth > 0 {
            self.descend::<1>(slots, &mut places);
        }
        if self.depth > 1 {
            self.descend::<2>(slots, &mut places);
        }
        if self.depth > 2 {
            self.descend::<4>(slots, &mut places);
        }
        if self.depth > 3 {
            self.descend::<8>(slots, &mut places);
        }
        if self.depth > 4 {
            self.descend::<16>(slots, &mut places);
        }
        if self.depth > 5 {
            self.descend::<32>(slots, &mut places);
        }
        if self.depth > 6 {
            self.descend::<64>(slots, &mut places);
        }
        if self.depth > 7 {
            self.descend::<128>(slots, &mut places);
        }
        std::array::from_fn(|lane| self.leaves[places[lane]][lane])
    }

    /// One step down in all lanes, from a level of so many nodes: known when this is built, so that no place needs to be checked.
    #[expect(clippy::inline_always, reason = "eight calls in a row otherwise pass their places through memory")]
    #[inline(always)]
    fn descend<const NODES: usize>(&self, slots: &[T], places: &mut [usize; LANES]) {
        let level: &[_; NODES] = self.asks[NODES - 1..].first_chunk().expect("a level has twice the nodes of the one above");
        for (lane, place) in places.iter_mut().enumerate() {
            let at = *place & (NODES - 1); // as it is; said for the compiler
            *place = at << 1 | usize::from(!level[at][lane].is_yes(slots));
        }
    }
}

impl<T: Number> Linked<T> {
    fn new(trees: &[Tree], slots: &mut Slots) -> Self {
        let mut linked = Self { roots: [0; LANES], nodes: Vec::new(), values: Vec::new() };
        linked.leaf(T::default()); // where lanes without a tree stay
        for (lane, tree) in trees.iter().enumerate() {
            linked.roots[lane] = linked.nodes.len() as u32;
            linked.lay(tree, slots);
        }
        linked
    }

    /// A leaf points to itself: the first slot is below zero.
    fn leaf(&mut self, value: T) {
        self.nodes.push(Link { ask: Ask::default(), yes: self.nodes.len() as u32 });
        self.values.push(value);
    }

    /// Lays out one tree level by level, so that its upper levels, which all rows see, lie together.
    fn lay(&mut self, tree: &Tree, slots: &mut Slots) {
        let root = self.nodes.len();
        self.leaf(T::default());
        let mut waiting = std::collections::VecDeque::from([(0, root)]);
        while let Some((at, place)) = waiting.pop_front() {
            match &tree.nodes[at].kind {
                Kind::Leaf(value) => self.values[place] = T::of(*value),
                Kind::Split(split) => {
                    let yes = self.nodes.len();
                    self.leaf(T::default());
                    self.leaf(T::default());
                    self.nodes[place] = Link { ask: slots.place(split), yes: yes as u32 };
                    waiting.push_back((split.yes, yes));
                    waiting.push_back((split.no, yes + 1));
                }
            }
        }
    }

    #[inline]
    fn walk(&self, slots: &[T]) -> [T; LANES] {
        let mut places = self.roots;
        loop {
            let mut moved = 0;
            for place in &mut places {
                let link = &self.nodes[*place as usize];
                let next = link.yes.wrapping_add(u32::from(link.ask.is_no(slots))); // as built, below the count of nodes
                moved |= next ^ *place;
                *place = next;
            }
            if moved == 0 {
                return places.map(|place| self.values[place as usize]);
            }
        }
    }
}
