//! The filters of one process, proved.
//!
//! [`Compiled`] has one maker, which refuses unless every program is proved
//! equal to its layer and every theorem holds: an unproved filter can't be
//! put into a plan.

use std::collections::BTreeMap;
use std::time::Instant;

use gm_protocol::plan::Filters;

use crate::cbpf::Program;
use crate::lower::{LowerError, compile};
use crate::mtbdd::{Diagrams, NODE_CAP};
use crate::prove::{ProofError, equal};
use crate::spec::{LayerName, LayerSpec, Rule, SeccompSpec};
use crate::syscalls::{Arch, Sysno};
use crate::theorems::{LoadsCode, Subject, Theorem, hold};

/// One layer's program and what was proved of it.
#[derive(Debug)]
pub struct Layer {
    /// Which layer.
    pub name: LayerName,
    /// What the kernel is given.
    pub program: Program,
    /// Nodes of its diagram.
    pub nodes: usize,
    /// How long its proof took, in microseconds.
    pub micros: u64,
    /// What was asked of it; every answer was yes.
    pub theorems: Vec<Theorem>,
}

impl Layer {
    /// Compiles one layer and proves the program equal to it; the theorems, which
    /// are about all four, are not asked.
    ///
    /// # Errors
    /// It could not be compiled, or not be proved.
    pub fn prove(name: LayerName, spec: &LayerSpec, arch: Arch) -> Result<Self, CompileError> {
        let mut d = Diagrams::new(NODE_CAP);
        prepare(&mut d, name, spec, arch).map(|(layer, _)| layer)
    }
}

/// Four programs that are proved to be what the profile says.
#[derive(Debug)]
pub struct Compiled {
    layers: [Layer; 4],
}

/// Why there are no filters.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// No program could be made.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// A program could not be proved.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Compiled {
    /// Compiles and proves. `vetoed` is what must never be allowed; `loads` says
    /// how code gets into the process.
    ///
    /// # Errors
    /// Whatever could not be compiled, or not be proved.
    pub(crate) fn prove(
        spec: &SeccompSpec,
        vetoed: &BTreeMap<Sysno, Rule>,
        loads: LoadsCode,
    ) -> Result<Self, CompileError> {
        let mut d = Diagrams::new(NODE_CAP);
        let [soft, loading, running, veto] =
            LayerName::ALL.map(|name| prepare(&mut d, name, spec.layer(name), spec.arch));
        let [soft, loading, running, veto] = [soft?, loading?, running?, veto?];
        let subject = Subject {
            spec,
            vetoed,
            loads,
            layers: [soft.1, loading.1, running.1, veto.1],
        };
        let mut layers = [soft.0, loading.0, running.0, veto.0];
        for layer in &mut layers {
            let start = Instant::now();
            layer.theorems = hold(&mut d, &subject, layer.name, &layer.program)?;
            layer.micros += micros(start);
        }
        Ok(Self { layers })
    }

    /// By index.
    #[must_use]
    pub fn layers(&self) -> &[Layer; 4] {
        &self.layers
    }

    /// Digests of the programs, by index.
    #[must_use]
    pub fn digests(&self) -> Vec<String> {
        let layers = self.layers.iter();
        layers.map(|layer| layer.program.digest()).collect()
    }

    /// One layer.
    #[must_use]
    pub fn layer(&self, name: LayerName) -> &Layer {
        let [soft, loading, running, veto] = &self.layers;
        match name {
            LayerName::Soft => soft,
            LayerName::Loading => loading,
            LayerName::Running => running,
            LayerName::Veto => veto,
        }
    }

    /// As they are sent to the process that installs them.
    #[must_use]
    pub fn filters(&self) -> Filters {
        let raw = |name| self.layer(name).program.raw().to_vec();
        Filters {
            soft: raw(LayerName::Soft),
            loading: raw(LayerName::Loading),
            running: raw(LayerName::Running),
            veto: raw(LayerName::Veto),
        }
    }
}

fn prepare(
    d: &mut Diagrams,
    name: LayerName,
    layer: &LayerSpec,
    arch: Arch,
) -> Result<(Layer, crate::mtbdd::Id), CompileError> {
    let program = compile(layer, arch)?;
    let start = Instant::now();
    let id = equal(d, name.name(), layer, arch, &program)?;
    let layer = Layer {
        name,
        program,
        nodes: d.size(id),
        micros: micros(start),
        theorems: Vec::new(),
    };
    Ok((layer, id))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
