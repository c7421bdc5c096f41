//! Linear memory and tables under the plugin's cap, over one reservation.
//!
//! No call of `mmap` after the walls: growth makes reserved pages usable. What
//! is refused here is noted, so that a trap that follows is told as a matter
//! of memory.
#![expect(
    unsafe_code,
    reason = "the engine's traits hand out raw locations of its own; they are passed on as they come"
)]

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use wasmer::sys::{BaseTunables, Tunables};
use wasmer_types::{MemoryStyle, MemoryType, Pages, TableStyle, TableType, WASM_PAGE_SIZE};
use wasmer_vm::{
    LinearMemory, MemoryError, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition,
};

use crate::walls::last;
use crate::walls::sys::guest::Guest;

/// Bytes that the engine keeps for one element of a table: a pointer, and the
/// same again while the table is being moved to grow.
const ELEMENT: u64 = 16;

/// What a plugin's memory is made of: its cap, and the reservation that the
/// next instance takes.
#[derive(Debug, Default)]
pub(super) struct Budget {
    left: AtomicU64,
    next: Mutex<Option<Arc<Guest>>>,
}

impl Budget {
    /// From now on there are `bytes` for the memory and the tables of one
    /// instance, whose memory is `guest`.
    pub(super) fn set(&self, bytes: u64, guest: Arc<Guest>) {
        self.left.store(bytes, Ordering::Relaxed);
        if let Ok(mut next) = self.next.lock() {
            *next = Some(guest);
        }
    }

    /// Takes bytes for what is kept for the plugin; false = they are not there.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let taken = self
            .left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        if taken.is_err() {
            last::refused_grow();
        }
        taken.is_ok()
    }

    /// Gives back what was taken.
    pub(super) fn give(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The engine's way to make memories and tables, under a [`Budget`].
#[derive(Clone)]
pub(super) struct Capped {
    base: BaseTunables,
    budget: Arc<Budget>,
}

impl Capped {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            base: BaseTunables::new(),
            budget,
        }
    }

    fn memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        seen: Option<NonNull<VMMemoryDefinition>>,
    ) -> Result<VMMemory, MemoryError> {
        let next = self
            .budget
            .next
            .lock()
            .ok()
            .and_then(|mut next| next.take());
        let guest = next.ok_or_else(|| MemoryError::Generic("a second memory".into()))?;
        let own = VMMemoryDefinition {
            base: guest.base(),
            current_length: 0,
        };
        let mut memory = Linear {
            ty: *ty,
            style: *style,
            guest,
            budget: Arc::clone(&self.budget),
            seen,
            own: Box::new(UnsafeCell::new(own)),
        };
        memory.grow(ty.minimum)?;
        Ok(VMMemory(Box::new(memory)))
    }

    /// The type with a maximum that the budget can pay for. All of it is paid
    /// at once: the engine does not ask again when a table grows.
    fn table(&self, ty: &TableType) -> Result<TableType, String> {
        let left = self.budget.left.load(Ordering::Relaxed);
        let minimum = u64::from(ty.minimum) * ELEMENT;
        // A table may grow into an eighth of what is left, so that one table
        // can't take all of the memory's share.
        let affordable = u32::try_from((left / 8).max(minimum) / ELEMENT).unwrap_or(u32::MAX);
        let maximum = ty.maximum.unwrap_or(u32::MAX).min(affordable);
        if self.budget.take(u64::from(maximum) * ELEMENT) {
            Ok(TableType {
                maximum: Some(maximum),
                ..*ty
            })
        } else {
            Err("a table over the plugin's memory".into())
        }
    }
}

impl Tunables for Capped {
    fn memory_style(&self, ty: &MemoryType) -> MemoryStyle {
        self.base.memory_style(ty)
    }

    fn table_style(&self, ty: &TableType) -> TableStyle {
        self.base.table_style(ty)
    }

    fn create_host_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
    ) -> Result<VMMemory, MemoryError> {
        self.memory(ty, style, None)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        seen: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        self.memory(ty, style, Some(seen))
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        VMTable::new(&self.table(ty)?, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        seen: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        let ty = self.table(ty)?;
        // SAFETY: `seen` is passed on as the engine gave it to us, under the
        // same promise.
        unsafe { VMTable::from_definition(&ty, style, seen) }
    }
}

/// A linear memory over a reservation.
#[derive(Debug)]
struct Linear {
    ty: MemoryType,
    style: MemoryStyle,
    guest: Arc<Guest>,
    budget: Arc<Budget>,
    /// Where compiled code looks for base and length; `own` if it is None.
    seen: Option<NonNull<VMMemoryDefinition>>,
    own: Box<UnsafeCell<VMMemoryDefinition>>,
}

// SAFETY: `seen` and `own` are only written by `grow`, through `&mut self`, in
// a process with one thread.
unsafe impl Send for Linear {}
// SAFETY: as above.
unsafe impl Sync for Linear {}

impl Linear {
    fn publish(&mut self) {
        let now = VMMemoryDefinition {
            base: self.guest.base(),
            current_length: self.guest.len(),
        };
        *self.own.get_mut() = now;
        if let Some(seen) = self.seen {
            // SAFETY: the engine promised a location in the instance, which
            // lives as long as the memories that it made for it.
            unsafe { seen.write(now) };
        }
    }
}

impl LinearMemory for Linear {
    fn ty(&self) -> MemoryType {
        MemoryType {
            minimum: self.size(),
            ..self.ty
        }
    }

    fn size(&self) -> Pages {
        Pages(u32::try_from(self.guest.len() / WASM_PAGE_SIZE).unwrap_or(u32::MAX))
    }

    fn style(&self) -> MemoryStyle {
        self.style
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let old = self.size();
        // Whichever limit it is: what traps for it has too little memory.
        let over = || {
            last::refused_grow();
            MemoryError::CouldNotGrow {
                current: old,
                attempted_delta: delta,
            }
        };
        let most = self
            .ty
            .maximum
            .unwrap_or(Pages::max_value())
            .min(Pages::max_value());
        let new = old
            .0
            .checked_add(delta.0)
            .filter(|new| *new <= most.0)
            .ok_or_else(over)?;
        let page = u64::try_from(WASM_PAGE_SIZE).map_err(|_| over())?;
        if !self.budget.take(u64::from(delta.0) * page) {
            return Err(over());
        }
        let bytes = usize::try_from(u64::from(new) * page).map_err(|_| over())?;
        self.guest.grow_to(bytes).map_err(|_| over())?;
        self.publish();
        Ok(old)
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        // A pointer from a live box is never null.
        self.seen
            .unwrap_or_else(|| NonNull::from(&*self.own).cast())
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync + 'static>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync + 'static>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capped(bytes: u64) -> Capped {
        let budget = Arc::new(Budget::default());
        budget.set(bytes, Arc::new(Guest::reserve().unwrap()));
        Capped::new(budget)
    }

    fn memory(bytes: u64, minimum: u32, maximum: Option<u32>) -> Result<VMMemory, MemoryError> {
        let ty = MemoryType::new(Pages(minimum), maximum.map(Pages), false);
        capped(bytes).create_host_memory(&ty, &MemoryStyle::Static)
    }

    #[test]
    fn memory_grows_to_its_cap_and_not_beyond() {
        let mut memory = memory(16 << 16, 1, None).unwrap();
        assert_eq!(memory.grow(Pages(4)).unwrap(), Pages(1));
        assert!(memory.grow(Pages(100)).is_err());
        assert_eq!(memory.grow(Pages(11)).unwrap(), Pages(5));
        assert!(memory.grow(Pages(1)).is_err());
        assert_eq!(memory.size(), Pages(16));
    }

    #[test]
    fn the_modules_own_maximum_holds_too() {
        let mut memory = memory(16 << 16, 1, Some(2)).unwrap();
        assert!(memory.grow(Pages(2)).is_err());
        assert_eq!(memory.grow(Pages(1)).unwrap(), Pages(1));
    }

    #[test]
    fn a_minimum_over_the_cap_is_refused() {
        assert!(memory(1 << 16, 2, None).is_err());
    }

    #[test]
    fn a_table_of_four_thousand_million_elements_is_refused_or_capped() {
        let tunables = capped(1 << 20);
        let huge = TableType::new(wasmer_types::Type::FuncRef, u32::MAX, None);
        assert!(tunables.table(&huge).is_err());
        let open = TableType::new(wasmer_types::Type::FuncRef, 1, None);
        assert_eq!(
            tunables.table(&open).unwrap().maximum,
            Some((1 << 20) / 8 / 16)
        );
    }
}
