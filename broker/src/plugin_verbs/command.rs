//! `gm plugin run`: carries out one of a plugin's own commands, behind the same
//! walls as in a run.

use gm_manifest::Refusal;

use crate::args::Invocation;
use crate::args::gm::CommandArgs;
use crate::output::Output;
use crate::run::{self, Asked};

pub(super) fn run(
    args: &CommandArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let id = super::typed_id(&args.id)?;
    let (home, config) = invocation.open_home()?;
    invocation
        .may_start()
        .map_err(|refusal| refusal.plugin(id.as_str()))?;
    let asked = Asked {
        id: &id,
        name: &args.command,
        args: &args.args,
        options: args.options(),
    };
    run::ready(
        &home,
        &config,
        asked.options.hosting.min_isolation,
        |ready| ready.command(&home, &config, &asked, output),
    )
}
