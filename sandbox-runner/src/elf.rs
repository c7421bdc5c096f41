//! Whether a file of machine code is one that may be loaded, with the reason if
//! not. Asked behind the walls, since the file is a stranger's.
//!
//! No check here is a wall: what they refuse would not get further, but end in a
//! way that is harder to understand.

#[cfg(feature = "program")]
mod executable;
mod file;
#[cfg(feature = "native")]
mod object;

#[cfg(feature = "program")]
pub(crate) use executable::executable;
use file::{Elf, Segment};
#[cfg(feature = "native")]
pub(crate) use object::{VERSION, shared_object};

/// elf(5)
const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const DT_NEEDED: u64 = 1;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS: u64 = 30;
const DF_TEXTREL: u64 = 4;

const TEXTREL: &str = "its code is changed while it is loaded (DT_TEXTREL); build it with -fPIC";

/// What holds for both: nothing is writable and executable, not even the stack.
fn segments(elf: &Elf<'_>) -> Result<(), String> {
    let mixed = |segment: &&Segment| segment.flags & (PF_W | PF_X) == PF_W | PF_X;
    if let Some(segment) = elf.of(PT_LOAD).find(mixed) {
        let at = segment.address;
        return Err(format!("its segment at {at:#x} is writable and executable"));
    }
    let mut stacks = elf.of(PT_GNU_STACK);
    match (stacks.next(), stacks.next()) {
        (Some(stack), None) if stack.flags & PF_X == 0 => Ok(()),
        (Some(_), None) => Err("it asks for an executable stack (PT_GNU_STACK)".into()),
        _ => Err("it does not say that its stack is not executable (PT_GNU_STACK)".into()),
    }
}

#[cfg(test)]
mod tests;
