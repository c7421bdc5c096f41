//! The verbs of `gm-broker`, each with what it needs and nothing more.

use gm_manifest::{Code, Refusal};

use crate::args::Invocation;
use crate::args::broker::{GraphDumpArgs, GraphVerb, Verb};
use crate::output::Output;
use crate::{doctor, policy_verbs, run};

/// Carries out one verb; gives the exit code, everything was said.
pub fn carry_out(verb: Verb, invocation: &Invocation, output: &mut Output) -> u8 {
    let done = match verb {
        Verb::Run(mut args) => {
            args.safe_mode = invocation.safe_mode;
            invocation
                .open_home()
                .map(|(home, config)| run::run(&home, &config, &args, output))
        }
        Verb::Graph(GraphVerb::Dump(args)) => dump(&args, invocation, output),
        Verb::Doctor(args) => Ok(doctor::run(&args, invocation, output)),
        Verb::Policy(verb) => policy_verbs::run(verb, invocation, output),
        Verb::Harness(args) => Err(crate::spawn::harness::become_it(
            &args.words,
            invocation,
            output,
        )),
    };
    done.unwrap_or_else(|refusal| output.refused(&refusal))
}

/// `gm-broker graph dump`: lines as they are, in both formats, so that two
/// dumps can be compared byte by byte; JSON form ends with its result.
fn dump(args: &GraphDumpArgs, invocation: &Invocation, output: &mut Output) -> Result<u8, Refusal> {
    let graph = match &args.graph {
        // A file of its own needs no home.
        Some(file) => crate::graph::Graph::open_read_only(file)?,
        None => {
            let (home, config) = invocation.open_home()?;
            run::repository_graph(&home, &config, args.repo.as_deref())?
        }
    };
    let mut lines = Lines {
        output,
        partial: Vec::new(),
    };
    let dumped = graph.dump(&mut lines, args.kind.as_deref(), !args.no_writer);
    match dumped {
        Ok(()) => Ok(output.done("graph dump", [])),
        // Nobody reads any more: what they wanted they have.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Refusal::new(
            Code::SourceGraph,
            format!("the graph can't be read: {error}"),
        )),
    }
}

/// Hands whole lines to the output.
struct Lines<'a> {
    output: &'a mut Output,
    partial: Vec<u8>,
}

impl std::io::Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if let Some(line) = self.partial.strip_suffix(b"\n") {
                self.output.raw_line(&String::from_utf8_lossy(line));
                self.partial.clear();
            }
        }
        if self.output.is_closed() {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
