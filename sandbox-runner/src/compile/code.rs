//! The compiler: Cranelift, to an ELF image that can be mapped from a file.
//!
//! Only what `check` let through comes here. The image is never mapped in this
//! process: nothing of a module runs here.

use std::num::NonZero;

use gm_protocol::message::{ModuleFault, ModuleFaultKind};
use wasmer::sys::{BaseTunables, CpuFeature, Cranelift, Features, Target, Triple};
use wasmer_compiler::{ArtifactBuild, ArtifactCreate, Engine, EngineBuilder, Tunables};
use wasmer_types::entity::PrimaryMap;
use wasmer_types::{MemoryType, Pages, TableType, Type};

use super::check::Counts;
use super::fault;

/// A compiler, all set before the walls.
pub struct Compiler {
    engine: Engine,
    target: Target,
}

impl Compiler {
    /// Sets the compiler up for the one target that artifacts are made for:
    /// x86-64-v2, whatever this machine has, so that an artifact never depends
    /// on the machine it was made on.
    #[must_use]
    pub fn new() -> Self {
        // The linker asks rayon's global pool for small work. This thread is
        // that pool: no other may exist when the walls go up, since Landlock
        // and seccomp restrict the calling thread only.
        // And the first thread of a process makes libc set up its own signals.
        let _ = std::thread::spawn(|| {}).join();
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build_global();
        let mut config = Cranelift::new();
        // An ELF image is what can be mapped executable from a file.
        config.experimental_artifact(true);
        config.num_threads(NonZero::<usize>::MIN);
        let target = Target::new(
            Triple::host(),
            CpuFeature::SSE2
                | CpuFeature::SSE3
                | CpuFeature::SSSE3
                | CpuFeature::SSE41
                | CpuFeature::SSE42
                | CpuFeature::POPCNT,
        );
        let engine = EngineBuilder::new(config)
            .set_target(Some(target.clone()))
            .set_features(Some(features()))
            .engine();
        Self { engine, target }
    }

    /// Compiles a module that `check` accepted.
    pub(super) fn compile(&self, module: &[u8], counts: Counts) -> Result<Vec<u8>, ModuleFault> {
        let malformed = |detail: String| fault(ModuleFaultKind::Malformed, "", &detail);
        let tunables = BaseTunables::new();
        let memory = tunables.memory_style(&MemoryType::new(Pages(0), None, false));
        let table = tunables.table_style(&TableType::new(Type::FuncRef, 0, None));
        let built = ArtifactBuild::new(
            &mut self.engine.inner_mut(),
            module,
            &self.target,
            std::iter::repeat_n(memory, counts.memories).collect::<PrimaryMap<_, _>>(),
            std::iter::repeat_n(table, counts.tables).collect::<PrimaryMap<_, _>>(),
            None,
        )
        .map_err(|error| malformed(error.to_string()))?;
        built
            .serialize()
            .map_err(|error| malformed(error.to_string()))
    }

    /// Compiles a module of our own, unchecked: for the set-up.
    ///
    /// # Errors
    /// What the compiler says about the module.
    pub fn compile_own(&self, module: &[u8]) -> Result<Vec<u8>, String> {
        let counts = Counts {
            memories: 1,
            tables: 1,
        };
        self.compile(module, counts).map_err(|fault| fault.detail)
    }
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

/// WebAssembly 2.0 without threads, as the ABI says.
fn features() -> Features {
    let mut features = Features::none();
    features
        .reference_types(true)
        .simd(true)
        .bulk_memory(true)
        .multi_value(true);
    features
}
