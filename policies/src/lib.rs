//! What a plugin may do: from a manifest to walls as data, each line with its
//! reason, and the proof that the compiled filters are those walls and no others.
//!
//! Pure: it installs nothing, opens no file and starts no process.
#![forbid(unsafe_code)]

mod cbpf;
mod compiled;
mod disassemble;
mod effective;
mod grant;
#[cfg(test)]
mod ladder;
mod lower;
mod mtbdd;
pub mod mutation;
mod network;
mod operator;
mod plan;
mod profile_file;
mod prove;
mod spec;
mod stack;
mod syscalls;
mod theorems;

pub use cbpf::{Program, ProgramError, SeccompData};
pub use compiled::{CompileError, Compiled, Layer};
pub use disassemble::disassemble;
pub use effective::{Effective, FileRequest, Limit, Refused, RefusedBy};
pub use grant::{Because, Source};
pub use mtbdd::Undecided;
pub use network::NetGrant;
pub use operator::{Ceilings, Grants, HttpRules, Operator, PluginRules, Told};
pub use plan::{CompilePlan, HttpPlan, Line, Placed, Plan, Shown, Stages, engine_of, place};
pub use profile_file::{ProfileError, layers_of};
pub use prove::{ProofError, Witness};
pub use spec::{
    Action, ArgCond, CondError, Errno, LayerName, LayerSpec, Op, Rule, SeccompSpec, When, Width,
};
pub use stack::Stack;
pub use syscalls::{Arch, Sysno, name_of, width_of};
pub use theorems::Theorem;
