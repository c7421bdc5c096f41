//! Runs one plugin of machine code: from the bare process to its last call.
//!
//! Its constructors run inside `dlopen` and may never return, so all that walls
//! it in is up before: the *loading* filter is its wall, whatever comes later.
//! It shares this process's memory; what is said from then on is its own word.

mod abi;
mod load;

use gm_protocol::plan::CODE_PATH;
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd as _;

use crate::elf;
use crate::hosting;
use crate::walls::sys::mapped;
use crate::walls::{self, Arena, WallError, begin, sys};

/// The whole life of the process that runs a plugin.
pub fn live(arena: &Arena) -> ! {
    // 1. Before the walls: libraries, heap, the code as bytes.
    let code = prepare(arena).unwrap_or_else(|error| begin::unwalled(&error));
    // 2. The walls' data and the task, from the host.
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    let task = hosting::task(&setup);
    let assets = hosting::assets(task).unwrap_or_else(|error| begin::unwalled(&error));
    // 3. and 4. Landlock, filters, report; the host's look from outside.
    let walled = walls::put_up(&setup, &mut link);
    let walled = walled.unwrap_or_else(|error| begin::unwalled(&error));
    // 5. The first look at the plugin's bytes, then its first instructions: its
    //    constructors.
    if let Err(why) = elf::shared_object(code) {
        hosting::not_loaded(&mut link, &why);
    }
    let loaded = match load::open(walled) {
        Ok(loaded) => loaded,
        Err(why) => hosting::not_loaded(&mut link, &why),
    };
    // 6. What only the loader needed is taken away.
    let ready = loaded.narrow();
    let ready = ready.unwrap_or_else(|error| begin::unwalled(&error));
    let plugin = match ready.plugin() {
        Ok(table) => abi::Plugin::new(table, hosting::Host::new(link, task, assets)),
        Err(why) => hosting::not_loaded(&mut link, &why),
    };
    // 7. Calls, until the host says stop or is gone.
    hosting::serve(plugin)
}

fn prepare(arena: &Arena) -> Result<&'static [u8], WallError> {
    walls::prepare(c"gm-run-native")?;
    walls::open_arena(arena, 0)?;
    // A full stack ends the process by its signal, as code without an engine does.
    sys::signals::leave_faults()?;
    load::libraries()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(CODE_PATH, flags, Mode::empty()).map_err(std::io::Error::from)?;
    Ok(mapped::read_only(file.as_fd()).map_err(std::io::Error::from)?)
}
