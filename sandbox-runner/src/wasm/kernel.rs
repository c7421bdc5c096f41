//! The memory that Extism's host shares with its plugins: blocks named by
//! offsets, the input, the output and the error of one call.
//!
//! Blocks lie in the runner's own heap and are paid for out of the plugin's
//! memory. Every offset is the plugin's claim. No offset is given twice in one
//! call, so that one of a freed block is found out instead of meaning another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::memory::Budget;

/// The first offset; those below it are nobody's, 0 among them.
const FIRST: u64 = 64;
/// Offsets and lengths in use are multiples of it, so that a load of 8 bytes at
/// the end of a block stays inside it.
const GRAIN: u64 = 16;
/// What a block costs besides its bytes: its place in the map.
const OVERHEAD: u64 = 96;

#[derive(Debug)]
struct Block {
    /// Rounded up to [`GRAIN`].
    bytes: Box<[u8]>,
    len: u64,
    freed: bool,
}

impl Block {
    const fn cost(&self) -> u64 {
        self.bytes.len() as u64 + OVERHEAD
    }
}

/// A range that the plugin set. It held when it was set.
#[derive(Debug, Clone, Copy, Default)]
struct Range {
    offset: u64,
    len: u64,
}

/// The blocks of one call, and what of them is input, output and error.
#[derive(Debug)]
pub(super) struct Kernel {
    budget: Arc<Budget>,
    blocks: BTreeMap<u64, Block>,
    next: u64,
    used: u64,
    input: Range,
    output: Range,
    error: u64,
}

impl Kernel {
    pub(super) const fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            blocks: BTreeMap::new(),
            next: FIRST,
            used: 0,
            input: Range { offset: 0, len: 0 },
            output: Range { offset: 0, len: 0 },
            error: 0,
        }
    }

    /// A new call begins: all blocks are forgotten, and offsets begin anew.
    pub(super) fn begin(&mut self) {
        self.reset();
        self.next = FIRST;
    }

    /// Forgets all blocks. Their offsets stay used.
    pub(super) fn reset(&mut self) {
        self.blocks.clear();
        self.budget.give(self.used);
        *self = Self {
            next: self.next,
            ..Self::new(Arc::clone(&self.budget))
        };
    }

    /// A new block of zeroes; 0 = there is no room, or none was asked for.
    pub(super) fn alloc(&mut self, len: u64) -> u64 {
        self.place(len, None).unwrap_or(0)
    }

    /// A new block with these bytes; an empty one has an offset too. `None` =
    /// there is no room.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<u64> {
        self.place(bytes.len().max(1) as u64, Some(bytes))
    }

    fn place(&mut self, len: u64, content: Option<&[u8]>) -> Option<u64> {
        let room = len.checked_next_multiple_of(GRAIN).filter(|_| len > 0)?;
        let cost = room.checked_add(OVERHEAD)?;
        let next = self.next.checked_add(room)?.checked_add(GRAIN)?;
        let size = usize::try_from(room).ok()?;
        if !self.budget.take(cost) {
            return None;
        }
        let mut bytes = vec![0; size].into_boxed_slice();
        let mut len = len;
        if let Some(content) = content {
            bytes.get_mut(..content.len())?.copy_from_slice(content);
            len = content.len() as u64;
        }
        let block = Block {
            bytes,
            len,
            freed: false,
        };
        let offset = self.next;
        self.blocks.insert(offset, block);
        self.used += cost;
        self.next = next;
        Some(offset)
    }

    /// Gives a block back. What is no block's first offset is nobody's.
    pub(super) fn free(&mut self, offset: u64) {
        // Kits free what they have just handed over; it is read once more.
        let kept = [self.output.offset, self.error].contains(&offset);
        let Some(block) = self.blocks.get_mut(&offset).filter(|block| !block.freed) else {
            return;
        };
        if offset == self.input.offset {
            self.input.len = 0;
        }
        block.freed = true;
        if !kept {
            let cost = block.cost();
            self.blocks.remove(&offset);
            self.used -= cost;
            self.budget.give(cost);
        }
    }

    /// The length of the block that begins here; 0 = there is none.
    pub(super) fn length(&self, offset: u64) -> u64 {
        self.live(offset).map_or(0, |block| block.len)
    }

    /// The bytes of the block that begins here.
    pub(super) fn bytes(&self, offset: u64) -> Option<&[u8]> {
        let block = self.live(offset)?;
        block.bytes.get(..usize::try_from(block.len).ok()?)
    }

    fn live(&self, offset: u64) -> Option<&Block> {
        self.blocks.get(&offset).filter(|block| !block.freed)
    }

    /// `N` bytes from anywhere inside one block.
    pub(super) fn load<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let (offset, block) = self.blocks.range(..=at).next_back()?;
        let start = usize::try_from(at - offset).ok()?;
        let part = block.bytes.get(start..start.checked_add(N)?)?;
        (!block.freed).then(|| part.try_into().ok())?
    }

    /// Puts bytes anywhere inside one block.
    pub(super) fn store(&mut self, at: u64, bytes: &[u8]) -> Option<()> {
        let (offset, block) = self.blocks.range_mut(..=at).next_back()?;
        let start = usize::try_from(at - offset).ok()?;
        let end = start.checked_add(bytes.len())?;
        let part = block.bytes.get_mut(start..end)?;
        (!block.freed).then(|| part.copy_from_slice(bytes))
    }

    /// `N` bytes of the input; what lies behind its end is 0.
    pub(super) fn input<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let left = self.input.len.saturating_sub(at);
        let have = usize::try_from(left).unwrap_or(N).min(N);
        let from = self.input.offset.checked_add(at)?;
        for (to, at) in bytes.iter_mut().take(have).zip(from..) {
            [*to] = self.load(at)?;
        }
        Some(bytes)
    }

    /// Whether the range lies inside one block; an empty one does at any offset.
    fn range(&self, offset: u64, len: u64) -> Option<Range> {
        let range = Range { offset, len };
        if len == 0 {
            return Some(range);
        }
        let (first, block) = self.blocks.range(..=offset).next_back()?;
        let end = (offset - first).checked_add(len)?;
        (!block.freed && end <= block.len).then_some(range)
    }

    /// `input_set`: a range inside one block.
    pub(super) fn set_input(&mut self, offset: u64, len: u64) -> Option<()> {
        self.input = self.range(offset, len)?;
        Some(())
    }

    /// `output_set`: a range inside one block.
    pub(super) fn set_output(&mut self, offset: u64, len: u64) -> Option<()> {
        self.output = self.range(offset, len)?;
        Some(())
    }

    /// `error_set`: a block, or 0 for none.
    pub(super) fn set_error(&mut self, offset: u64) -> Option<()> {
        if offset != 0 {
            self.live(offset)?;
        }
        self.error = offset;
        Some(())
    }

    pub(super) const fn input_range(&self) -> (u64, u64) {
        (self.input.offset, self.input.len)
    }

    pub(super) const fn output_range(&self) -> (u64, u64) {
        (self.output.offset, self.output.len)
    }

    pub(super) const fn error(&self) -> u64 {
        self.error
    }

    /// What all blocks cost.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// The output, if one was set and isn't empty.
    pub(super) fn output_bytes(&self) -> Option<&[u8]> {
        let (first, block) = self.blocks.range(..=self.output.offset).next_back()?;
        let start = usize::try_from(self.output.offset - first).ok()?;
        let len = usize::try_from(self.output.len)
            .ok()
            .filter(|len| *len > 0)?;
        block.bytes.get(start..start.checked_add(len)?)
    }

    /// The error's text, if one was set.
    pub(super) fn error_bytes(&self) -> Option<&[u8]> {
        let block = self.blocks.get(&self.error)?;
        block.bytes.get(..usize::try_from(block.len).ok()?)
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
