//! Shared objects: what a plugin of machine code must be.

use gm_protocol::plan::LIBRARIES;

use super::file::Elf;
use super::{DF_TEXTREL, DT_FLAGS, DT_NEEDED, DT_TEXTREL, ET_DYN, PT_INTERP, TEXTREL, segments};

/// elf(5) and the headers of the GNU C library.
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_CONFIG: u64 = 0x6fff_fefa;
const DT_DEPAUDIT: u64 = 0x6fff_fefb;
const DT_AUDIT: u64 = 0x6fff_fefc;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;

/// The names of the plugin's one symbol begin so; the version follows.
const SYMBOL: &str = "gm_plugin_v";
/// The version that this host speaks.
pub(crate) const VERSION: u32 = 2;

/// A shared object that `dlopen` may be given.
pub(crate) fn shared_object(bytes: &[u8]) -> Result<(), String> {
    let elf = Elf::parse(bytes)?;
    if elf.kind != ET_DYN {
        return Err("it is no shared object (ET_DYN)".into());
    }
    if elf.has(PT_INTERP) {
        return Err("it is a program, not a shared object: it names an interpreter".into());
    }
    segments(&elf)?;
    let dynamic = elf.dynamic()?;
    if !dynamic.is_there() {
        return Err("it has no dynamic section (PT_DYNAMIC)".into());
    }
    for (tag, value) in dynamic.entries() {
        match tag {
            DT_TEXTREL => return Err(TEXTREL.into()),
            DT_FLAGS if value & DF_TEXTREL != 0 => return Err(TEXTREL.into()),
            DT_FLAGS_1 if value & DF_1_PIE != 0 => {
                return Err("it is a program, not a shared object (DF_1_PIE)".into());
            }
            DT_RPATH | DT_RUNPATH => {
                return Err("it says where to look for libraries (DT_RPATH, DT_RUNPATH)".into());
            }
            DT_AUDIT | DT_DEPAUDIT | DT_CONFIG => {
                return Err("it asks for an auditor (DT_AUDIT, DT_DEPAUDIT, DT_CONFIG)".into());
            }
            DT_FILTER | DT_AUXILIARY => {
                return Err("it stands for another library (DT_FILTER, DT_AUXILIARY)".into());
            }
            DT_NEEDED => needed(&dynamic.text(value)?)?,
            _ => {}
        }
    }
    speaks(&dynamic.defined(SYMBOL)?)
}

fn needed(library: &str) -> Result<(), String> {
    match LIBRARIES.contains(&library) {
        true => Ok(()),
        false => Err(format!(
            "it needs the library {library} (DT_NEEDED); there are only {}",
            LIBRARIES.join(", ")
        )),
    }
}

/// Whether one of its symbols is for this version.
fn speaks(versions: &[String]) -> Result<(), String> {
    let ours = VERSION.to_string();
    if versions.contains(&ours) {
        return Ok(());
    }
    match versions.first() {
        Some(theirs) => Err(format!(
            "the plugin speaks version {theirs} ({SYMBOL}{theirs}), this host version {ours} ({SYMBOL}{ours})"
        )),
        None => Err(format!("it does not define {SYMBOL}{ours}")),
    }
}
