//! Programs one over the other, as the kernel joins them: what a process that
//! installed them is answered, and what to ask a kernel to see the same.
//!
//! It installs nothing and asks nothing itself.

use crate::cbpf::{Program, SeccompData};
use crate::mtbdd::{Diagrams, Id, NODE_CAP, Undecided};
use crate::prove::of_program;
use crate::spec::{ALLOW, meet};

/// The filters of one process.
pub struct Stack {
    programs: Vec<Program>,
    diagrams: Diagrams,
    meaning: Id,
}

impl Stack {
    /// Joins programs, in the order of their installation.
    ///
    /// # Errors
    /// Their meaning is too large to decide.
    pub fn new(programs: Vec<Program>) -> Result<Self, Undecided> {
        Self::within(programs, NODE_CAP)
    }

    /// The same with at most so many nodes, for programs of strangers.
    ///
    /// # Errors
    /// It takes more.
    pub fn within(programs: Vec<Program>, nodes: usize) -> Result<Self, Undecided> {
        let mut diagrams = Diagrams::new(nodes);
        let mut meaning = diagrams.leaf(ALLOW)?;
        for program in &programs {
            let newer = of_program(&mut diagrams, program)?;
            meaning = diagrams.zip(newer, meaning, meet)?;
        }
        Ok(Self {
            programs,
            diagrams,
            meaning,
        })
    }

    /// The word on which the kernel acts, by running each program.
    #[must_use]
    pub fn answer(&self, data: &SeccompData) -> u32 {
        let words = self.programs.iter().map(|program| program.run(data));
        words.fold(ALLOW, |older, newer| meet(newer, older))
    }

    /// The same, read from the diagram of the whole.
    #[must_use]
    pub fn meaning(&self, data: &SeccompData) -> u32 {
        self.diagrams.evaluate(self.meaning, data)
    }

    /// Inputs by which every answer to this call, and every boundary between
    /// two answers, can be seen.
    ///
    /// # Errors
    /// They would be too many.
    pub fn inputs(&self, arch: u32, nr: u32) -> Result<Vec<SeccompData>, Undecided> {
        self.diagrams.inputs(self.meaning, arch, nr)
    }
}
