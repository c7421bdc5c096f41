//! Decision diagrams with many leaves: the meaning of a filter over all inputs.
//!
//! Hash-consed and reduced, so two filters mean the same if and only if they
//! have the same node. Nothing here knows programs or profiles.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::cbpf::{SeccompData, Test, Word};

/// Most nodes of one proof; beyond it the answer is "undecided", never "fine".
pub(crate) const NODE_CAP: usize = 2_000_000;

/// Most inputs that one call may need to tell its answers apart; our own
/// filters need a few hundred, a hostile one exponentially many.
const INPUT_CAP: usize = 100_000;

/// The diagram needs more nodes, or has more paths, than the cap.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("undecided: the decision diagram has more than {0} nodes or paths")]
pub struct Undecided(pub usize);

/// A node; equal ids mean equal functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Leaf(u32),
    /// Tests one bit; bits are numbered in the order in which they are tested.
    Bit {
        bit: u16,
        zero: Id,
        one: Id,
    },
}

/// Architecture first, then number, arguments (upper half first), instruction
/// pointer last: the order in which a filter's meaning splits.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of range"
)]
const ORDER: [Word; 16] = {
    let mut order = [Word::ARCH; 16];
    order[1] = Word::NR;
    let mut arg = 0;
    while arg < 6 {
        let (low, high) = Word::arg(arg);
        order[2 + 2 * arg as usize] = high;
        order[3 + 2 * arg as usize] = low;
        arg += 1;
    }
    order[14] = Word::IP[1];
    order[15] = Word::IP[0];
    order
};

/// A quick hash for keys of a few words. Nobody outside chooses them, so it need
/// not resist anybody; one that does was most of a proof's time.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        // An odd number without a pattern: the golden ratio's bits.
        self.0 = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        // A product's upper bits are the well mixed ones, a table looks at both ends.
        self.0.rotate_left(26)
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;
type Set<T> = HashSet<T, BuildHasherDefault<Quick>>;

/// A leaf's value as yes and no of a condition.
pub(crate) const YES: u32 = 1;
const NO: u32 = 0;

/// The nodes of one proof.
pub(crate) struct Diagrams {
    nodes: Vec<Node>,
    unique: Map<Node, Id>,
    chosen: Map<(Id, Id, Id), Id>,
    cap: usize,
}

impl Diagrams {
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            nodes: Vec::new(),
            unique: Map::default(),
            chosen: Map::default(),
            cap,
        }
    }

    fn node(&self, id: Id) -> Node {
        // An id is only made by `intern`; a foreign one reads as "kill".
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        self.nodes
            .get(at)
            .copied()
            .unwrap_or(Node::Leaf(0x8000_0000))
    }

    fn intern(&mut self, node: Node) -> Result<Id, Undecided> {
        if let Some(id) = self.unique.get(&node) {
            return Ok(*id);
        }
        if self.nodes.len() >= self.cap {
            return Err(Undecided(self.cap));
        }
        let id = Id(u32::try_from(self.nodes.len()).map_err(|_| Undecided(self.cap))?);
        self.nodes.push(node);
        self.unique.insert(node, id);
        Ok(id)
    }

    /// The constant function.
    pub(crate) fn leaf(&mut self, value: u32) -> Result<Id, Undecided> {
        self.intern(Node::Leaf(value))
    }

    fn bit(&mut self, bit: u16, zero: Id, one: Id) -> Result<Id, Undecided> {
        if zero == one {
            Ok(zero)
        } else {
            self.intern(Node::Bit { bit, zero, one })
        }
    }

    /// Yes where `(word & mask) TEST k`, else no.
    pub(crate) fn test(
        &mut self,
        word: Word,
        mask: u32,
        test: Test,
        k: u32,
    ) -> Result<Id, Undecided> {
        let first = first_bit(word);
        // From the last bit up, what the comparison says if all bits before were equal.
        let mut here = self.leaf(match test {
            Test::Eq | Test::Ge => YES,
            Test::Gt | Test::Set => NO,
        })?;
        let (yes, no) = (self.leaf(YES)?, self.leaf(NO)?);
        for place in (0..32u16).rev() {
            let weight = 1u32 << (31 - place);
            let wanted = k & weight != 0;
            let (zero, one) = match (test, wanted) {
                (Test::Eq, true) => (no, here),
                (Test::Eq, false) => (here, no),
                (Test::Gt | Test::Ge, true) => (no, here),
                (Test::Gt | Test::Ge, false) => (here, yes),
                (Test::Set, true) => (here, yes),
                (Test::Set, false) => (here, here),
            };
            // A masked bit always reads as zero.
            here = if mask & weight == 0 {
                zero
            } else {
                self.bit(first + place, zero, one)?
            };
        }
        Ok(here)
    }

    /// `then` where `condition` is yes, else `other`.
    pub(crate) fn choose(&mut self, condition: Id, then: Id, other: Id) -> Result<Id, Undecided> {
        if then == other {
            return Ok(then);
        }
        if let Node::Leaf(value) = self.node(condition) {
            return Ok(if value == NO { other } else { then });
        }
        if let Some(done) = self.chosen.get(&(condition, then, other)) {
            return Ok(*done);
        }
        let bit = [condition, then, other]
            .into_iter()
            .map(|id| self.top(id))
            .min()
            .unwrap_or(u16::MAX);
        let split = |id| self.split(id, bit);
        let ((c0, c1), (t0, t1), (o0, o1)) = (split(condition), split(then), split(other));
        let zero = self.choose(c0, t0, o0)?;
        let one = self.choose(c1, t1, o1)?;
        let made = self.bit(bit, zero, one)?;
        self.chosen.insert((condition, then, other), made);
        Ok(made)
    }

    /// The pointwise combination of two functions.
    pub(crate) fn zip(
        &mut self,
        a: Id,
        b: Id,
        join: impl Fn(u32, u32) -> u32,
    ) -> Result<Id, Undecided> {
        self.zip_seen(a, b, &join, &mut Map::default())
    }

    fn zip_seen(
        &mut self,
        a: Id,
        b: Id,
        join: &dyn Fn(u32, u32) -> u32,
        seen: &mut Map<(Id, Id), Id>,
    ) -> Result<Id, Undecided> {
        if let (Node::Leaf(x), Node::Leaf(y)) = (self.node(a), self.node(b)) {
            return self.leaf(join(x, y));
        }
        if let Some(done) = seen.get(&(a, b)) {
            return Ok(*done);
        }
        let bit = self.top(a).min(self.top(b));
        let ((a0, a1), (b0, b1)) = (self.split(a, bit), self.split(b, bit));
        let zero = self.zip_seen(a0, b0, join, seen)?;
        let one = self.zip_seen(a1, b1, join, seen)?;
        let made = self.bit(bit, zero, one)?;
        seen.insert((a, b), made);
        Ok(made)
    }

    /// Yes where both are.
    pub(crate) fn and(&mut self, a: Id, b: Id) -> Result<Id, Undecided> {
        self.zip(a, b, |a, b| u32::from(a != NO && b != NO))
    }

    fn top(&self, id: Id) -> u16 {
        match self.node(id) {
            Node::Leaf(_) => u16::MAX,
            Node::Bit { bit, .. } => bit,
        }
    }

    fn split(&self, id: Id, at: u16) -> (Id, Id) {
        match self.node(id) {
            Node::Bit { bit, zero, one } if bit == at => (zero, one),
            Node::Bit { .. } | Node::Leaf(_) => (id, id),
        }
    }

    /// The value for one input.
    pub(crate) fn evaluate(&self, mut id: Id, data: &SeccompData) -> u32 {
        loop {
            match self.node(id) {
                Node::Leaf(value) => return value,
                Node::Bit { bit, zero, one } => {
                    let (word, weight) = place_of(bit);
                    id = if word.of(data) & weight == 0 {
                        zero
                    } else {
                        one
                    };
                }
            }
        }
    }

    /// Every node reachable from here.
    fn reachable(&self, from: Id) -> Set<Id> {
        let (mut seen, mut open) = (Set::from_iter([from]), vec![from]);
        while let Some(id) = open.pop() {
            if let Node::Bit { zero, one, .. } = self.node(id) {
                open.extend([zero, one].into_iter().filter(|next| seen.insert(*next)));
            }
        }
        seen
    }

    /// How many nodes the function has.
    pub(crate) fn size(&self, id: Id) -> usize {
        self.reachable(id).len()
    }

    /// The words that the function looks at.
    pub(crate) fn words(&self, id: Id) -> BTreeSet<Word> {
        let bits = self.reachable(id).into_iter().map(|id| self.top(id));
        bits.filter(|bit| *bit != u16::MAX)
            .map(|bit| place_of(bit).0)
            .collect()
    }

    /// An input for which the function has a value that is wanted.
    pub(crate) fn find(&self, from: Id, wanted: impl Fn(u32) -> bool) -> Option<SeccompData> {
        let mut parents: Map<Id, (Id, u16, bool)> = Map::default();
        let (mut seen, mut open) = (Set::from_iter([from]), vec![from]);
        while let Some(id) = open.pop() {
            match self.node(id) {
                Node::Leaf(value) if wanted(value) => return Some(witness(id, &parents)),
                Node::Leaf(_) => {}
                Node::Bit { bit, zero, one } => {
                    for (next, set) in [(one, true), (zero, false)] {
                        if seen.insert(next) {
                            parents.insert(next, (id, bit, set));
                            open.push(next);
                        }
                    }
                }
            }
        }
        None
    }

    /// Two inputs for each path of the function that has this architecture and
    /// number: argument bits that the path doesn't test are all zero in one and
    /// all one in the other. So both sides of every boundary are among them.
    pub(crate) fn inputs(
        &self,
        from: Id,
        arch: u32,
        nr: u32,
    ) -> Result<Vec<SeccompData>, Undecided> {
        let with = |args| SeccompData {
            nr,
            arch,
            ip: 0,
            args,
        };
        let mut open = vec![(from, with([0; 6]), with([u64::MAX; 6]))];
        let mut inputs = Vec::new();
        while let Some((id, zeros, ones)) = open.pop() {
            match self.node(id) {
                Node::Leaf(_) if inputs.len() >= INPUT_CAP => return Err(Undecided(INPUT_CAP)),
                Node::Leaf(_) => inputs.extend([zeros, ones]),
                Node::Bit { bit, zero, one } => {
                    let (word, weight) = place_of(bit);
                    let fixed = word == Word::ARCH || word == Word::NR;
                    let value = word.of(&zeros);
                    if !fixed || value & weight == 0 {
                        open.push((
                            zero,
                            with_bit(zeros, bit, false),
                            with_bit(ones, bit, false),
                        ));
                    }
                    if !fixed || value & weight != 0 {
                        open.push((one, with_bit(zeros, bit, true), with_bit(ones, bit, true)));
                    }
                }
            }
        }
        Ok(inputs)
    }
}

fn with_bit(mut data: SeccompData, bit: u16, set: bool) -> SeccompData {
    let (word, weight) = place_of(bit);
    let value = word.of(&data);
    word.set(
        &mut data,
        if set { value | weight } else { value & !weight },
    );
    data
}

/// Walks back to the root; bits that no test saw stay zero.
fn witness(mut id: Id, parents: &Map<Id, (Id, u16, bool)>) -> SeccompData {
    let mut data = SeccompData::default();
    while let Some((parent, bit, set)) = parents.get(&id) {
        data = with_bit(data, *bit, *set);
        id = *parent;
    }
    data
}

fn first_bit(word: Word) -> u16 {
    let place = ORDER
        .iter()
        .position(|other| *other == word)
        .unwrap_or_default();
    u16::try_from(place * 32).unwrap_or_default()
}

fn place_of(bit: u16) -> (Word, u32) {
    let word = ORDER
        .get(usize::from(bit / 32))
        .copied()
        .unwrap_or(Word::NR);
    (word, 1 << (31 - bit % 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_functions_have_one_node() {
        let mut d = Diagrams::new(NODE_CAP);
        let ge = d.test(Word::NR, u32::MAX, Test::Ge, 8).unwrap();
        let gt = d.test(Word::NR, u32::MAX, Test::Gt, 7).unwrap();
        assert_eq!(ge, gt);
    }

    #[test]
    fn too_many_nodes_are_undecided() {
        let mut d = Diagrams::new(10);
        assert_eq!(d.test(Word::NR, u32::MAX, Test::Eq, 7), Err(Undecided(10)));
    }

    #[test]
    fn found_input_has_the_value_that_was_wanted() {
        let mut d = Diagrams::new(NODE_CAP);
        let (low, high) = Word::arg(2);
        let a = d.test(low, 6, Test::Eq, 4).unwrap();
        let b = d.test(high, u32::MAX, Test::Eq, 9).unwrap();
        let both = d.and(a, b).unwrap();
        let data = d.find(both, |value| value == YES).unwrap();
        assert_eq!((data.args[2] & 6, data.args[2] >> 32), (4, 9));
        assert_eq!(d.words(both), BTreeSet::from([low, high]));
    }

    #[test]
    fn inputs_of_a_call_reach_every_answer_and_both_sides_of_a_boundary() {
        let mut d = Diagrams::new(NODE_CAP);
        let (low, high) = Word::arg(1);
        let above = d.test(low, u32::MAX, Test::Gt, 9).unwrap();
        let zero = d.test(high, u32::MAX, Test::Eq, 0).unwrap();
        let number = d.test(Word::NR, u32::MAX, Test::Eq, 7).unwrap();
        let both = d.and(above, zero).unwrap();
        let meaning = d.and(both, number).unwrap();
        let inputs = d.inputs(meaning, 1, 7).unwrap();
        let (yes, no): (Vec<SeccompData>, Vec<_>) = inputs
            .iter()
            .partition(|data| d.evaluate(meaning, data) == YES);
        assert!(yes.iter().any(|data| data.args[1] == 10));
        assert!(no.iter().any(|data| data.args[1] == 9));
        assert!(no.iter().any(|data| data.args[1] >> 32 == 1 << 31));
        assert!(inputs.iter().all(|data| (data.arch, data.nr) == (1, 7)));
        assert_eq!(d.inputs(meaning, 1, 8).unwrap().len(), 2);
    }

    fn test() -> impl Strategy<Value = Test> {
        prop_oneof![
            Just(Test::Eq),
            Just(Test::Gt),
            Just(Test::Ge),
            Just(Test::Set)
        ]
    }

    proptest! {
        #[test]
        fn diagram_of_a_comparison_says_what_the_comparison_says(
            test in test(), mask: u32, k: u32, value: u32, near in 0u32..3,
        ) {
            let mut d = Diagrams::new(NODE_CAP);
            let id = d.test(Word::NR, mask, test, k).unwrap();
            for nr in [value, k.wrapping_add(near).wrapping_sub(1), k & mask] {
                let data = SeccompData { nr, ..SeccompData::default() };
                let a = nr & mask;
                let expected = match test { Test::Eq => a == k, Test::Gt => a > k, Test::Ge => a >= k, Test::Set => a & k != 0 };
                prop_assert_eq!(d.evaluate(id, &data) == YES, expected);
            }
        }
    }
}
