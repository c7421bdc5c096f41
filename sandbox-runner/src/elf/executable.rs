//! Executables: what a program must be.

use super::file::Elf;
use super::{DF_TEXTREL, DT_FLAGS, DT_NEEDED, DT_TEXTREL, ET_DYN, PT_INTERP, TEXTREL, segments};

/// elf(5)
const ET_EXEC: u16 = 2;

/// An executable that needs nothing but itself.
pub(crate) fn executable(bytes: &[u8]) -> Result<(), String> {
    let elf = Elf::parse(bytes)?;
    if elf.kind != ET_EXEC && elf.kind != ET_DYN {
        return Err("it is no executable (ET_EXEC or ET_DYN)".into());
    }
    if elf.has(PT_INTERP) {
        return Err(
            "it is linked dynamically: it names an interpreter; link it with -static".into(),
        );
    }
    segments(&elf)?;
    let dynamic = elf.dynamic()?;
    for (tag, value) in dynamic.entries() {
        match tag {
            DT_NEEDED => {
                let library = dynamic.text(value)?;
                return Err(format!(
                    "it needs the library {library}; link it with -static"
                ));
            }
            DT_TEXTREL => return Err(TEXTREL.into()),
            DT_FLAGS if value & DF_TEXTREL != 0 => return Err(TEXTREL.into()),
            _ => {}
        }
    }
    Ok(())
}
