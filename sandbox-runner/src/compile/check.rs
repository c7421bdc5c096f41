//! What a module may be before it is compiled: WebAssembly 2.0, bounded, with
//! the imports that its grant gives and the exports that its manifest names.
//!
//! Its names and counts are a stranger's: nothing is allocated by a claimed
//! number, and every refusal names what it is about.

use std::collections::BTreeMap;

use gm_protocol::message::{ModuleFault, ModuleFaultKind as Kind};
use gm_protocol::plan::{Abi, CompileSetup, Hook};
use wasmer::sys::wasmparser::{
    ExternalKind, FuncType, MemoryType, Parser, Payload, TypeRef, ValType, Validator, WasmFeatures,
};

use super::fault;
use crate::abi::wasm::{self as abi, Function, Type, Value, extism};
use crate::walls::Narrowed;

/// The header of a core module, version 1. A component's differs in the last
/// four bytes, text and native code in the first.
const HEADER: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];

/// The most items of a kind: far more than real modules have (a 4 MB one has
/// some 10,000 functions), few enough that the compiler's own tables stay
/// small against its memory.
const MOST: [(&str, u32); 9] = [
    ("types", 20_000),
    ("imports", 1_000),
    ("functions", 100_000),
    ("tables", 16),
    ("globals", 20_000),
    ("exports", 20_000),
    ("element segments", 20_000),
    // A program of Go has one for each run of bytes between zeroes: 53,000 in 6 MB.
    ("data segments", 100_000),
    ("locals", 50_000),
];

/// How many memories and tables a module has, which the compiler must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) memories: usize,
    pub(super) tables: usize,
}

/// What a module declares, as far as the checks need it.
#[derive(Default)]
struct Outline<'m> {
    types: Vec<FuncType>,
    /// Type of each function, imported ones first.
    functions: Vec<u32>,
    imports: Vec<(&'m str, &'m str, TypeRef)>,
    memories: Vec<MemoryType>,
    tables: usize,
    exports: BTreeMap<&'m str, (ExternalKind, u32)>,
}

/// Checks a module against its task. Takes the proof that all filters are up.
pub(super) fn module(
    _: &Narrowed,
    bytes: &[u8],
    task: &CompileSetup,
) -> Result<Counts, ModuleFault> {
    check(bytes, task)
}

fn check(bytes: &[u8], task: &CompileSetup) -> Result<Counts, ModuleFault> {
    if !bytes.starts_with(&HEADER) {
        return Err(fault(
            Kind::NotWasm,
            "",
            "not a WebAssembly core module, version 1",
        ));
    }
    let outline = outline(bytes)?;
    // Before the validator's word, so that a module for another host is told
    // what it lacks here; all of it is only names and types.
    imports(&outline, task)?;
    Validator::new_with_features(WasmFeatures::WASM2)
        .validate_all(bytes)
        .map_err(|error| fault(Kind::Malformed, "", &error.to_string()))?;
    exports(&outline, task)?;
    Ok(Counts {
        memories: outline.memories.len(),
        tables: outline.tables,
    })
}

fn outline(bytes: &[u8]) -> Result<Outline<'_>, ModuleFault> {
    let malformed = |error: wasmer::sys::wasmparser::BinaryReaderError| {
        fault(Kind::Malformed, "", &error.to_string())
    };
    let mut seen = Outline::default();
    for payload in Parser::new(0).parse_all(bytes) {
        section(&mut seen, payload.map_err(malformed)?).map_err(|error| match error {
            Odd::Parse(error) => malformed(error),
            Odd::TooMany(what, count) => fault(
                Kind::TooComplex,
                what,
                &format!("{count} {what}, over the cap"),
            ),
        })?;
    }
    Ok(seen)
}

enum Odd {
    Parse(wasmer::sys::wasmparser::BinaryReaderError),
    TooMany(&'static str, u32),
}

impl From<wasmer::sys::wasmparser::BinaryReaderError> for Odd {
    fn from(error: wasmer::sys::wasmparser::BinaryReaderError) -> Self {
        Self::Parse(error)
    }
}

fn few(what: &'static str, count: u32) -> Result<(), Odd> {
    match MOST.iter().find(|(name, _)| *name == what) {
        Some((_, most)) if count <= *most => Ok(()),
        _ => Err(Odd::TooMany(what, count)),
    }
}

fn section<'m>(seen: &mut Outline<'m>, payload: Payload<'m>) -> Result<(), Odd> {
    match payload {
        Payload::TypeSection(reader) => {
            few("types", reader.count())?;
            for ty in reader.into_iter_err_on_gc_types() {
                seen.types.push(ty?);
            }
        }
        Payload::ImportSection(reader) => {
            few("imports", reader.count())?;
            for import in reader.into_imports() {
                let import = import?;
                if let TypeRef::Func(ty) = import.ty {
                    seen.functions.push(ty);
                }
                seen.imports.push((import.module, import.name, import.ty));
            }
        }
        Payload::FunctionSection(reader) => {
            few("functions", reader.count())?;
            for ty in reader {
                seen.functions.push(ty?);
            }
        }
        Payload::TableSection(reader) => {
            few("tables", reader.count())?;
            seen.tables = usize::try_from(reader.count()).unwrap_or(usize::MAX);
        }
        Payload::MemorySection(reader) => {
            for memory in reader {
                seen.memories.push(memory?);
            }
        }
        Payload::ExportSection(reader) => {
            few("exports", reader.count())?;
            for export in reader {
                let export = export?;
                seen.exports
                    .insert(export.name, (export.kind, export.index));
            }
        }
        other => counted(other)?,
    }
    Ok(())
}

/// The sections of which only the number of items matters.
fn counted(payload: Payload<'_>) -> Result<(), Odd> {
    match payload {
        Payload::GlobalSection(reader) => few("globals", reader.count()),
        Payload::ElementSection(reader) => few("element segments", reader.count()),
        Payload::DataSection(reader) => few("data segments", reader.count()),
        Payload::DataCountSection { count, .. } => few("data segments", count),
        Payload::CodeSectionStart { count, .. } => few("functions", count),
        Payload::CodeSectionEntry(body) => {
            let mut locals = 0_u32;
            for group in body.get_locals_reader()? {
                locals = locals.saturating_add(group?.0);
            }
            few("locals", locals)
        }
        // Anything else is a matter of the validator's.
        _ => Ok(()),
    }
}

fn imports(outline: &Outline<'_>, task: &CompileSetup) -> Result<(), ModuleFault> {
    for (module, name, ty) in &outline.imports {
        let full = format!("{module}.{name}");
        let Some(found) = Function::find(task.abi, module, name) else {
            let detail = unknown(task.abi, module);
            return Err(fault(Kind::ImportUnknown, &full, detail));
        };
        let TypeRef::Func(index) = ty else {
            let detail = "the host gives functions only";
            return Err(fault(Kind::ImportType, &full, detail));
        };
        if !has_type(outline, *index, found.ty()) {
            let detail = format!("must be {}", found.ty());
            return Err(fault(Kind::ImportType, &full, &detail));
        }
        if let Some(call) = found.lacks(task.host_ops) {
            return Err(fault(Kind::ImportNotGranted, &full, call));
        }
    }
    Ok(())
}

/// What to say of an import that the ABI has not.
fn unknown(abi: Abi, module: &str) -> &'static str {
    match abi {
        Abi::Gm2 if module == extism::MODULE => {
            "the host has no such function under abi = \"gm-2\"; a plugin of Extism's kits says abi = \"extism-1\" in [plugin]"
        }
        Abi::Gm2 | Abi::Extism1 => "the host has no such function",
    }
}

fn exports(outline: &Outline<'_>, task: &CompileSetup) -> Result<(), ModuleFault> {
    let memory = |index: u32| {
        usize::try_from(index)
            .ok()
            .and_then(|at| outline.memories.get(at))
    };
    match outline.exports.get(abi::MEMORY) {
        Some((ExternalKind::Memory, index)) if memory(*index).is_some() => {}
        _ => {
            return Err(fault(
                Kind::MissingExport,
                abi::MEMORY,
                "no memory of this name",
            ));
        }
    }
    let own = [Hook::Init, Hook::Shutdown];
    let called = own
        .iter()
        .filter(|hook| outline.exports.contains_key(hook.as_str()));
    let mut needed: Vec<&str> = task
        .hooks
        .iter()
        .chain(called)
        .map(|hook| hook.as_str())
        .collect();
    let optional = match task.abi {
        Abi::Gm2 => {
            if !needed.is_empty() {
                needed.push(abi::ALLOC);
            }
            [abi::FREE, abi::INITIALIZE]
        }
        Abi::Extism1 => [extism::CONSTRUCTORS, abi::INITIALIZE],
    };
    // One that takes all commands, or one for each.
    let all = Hook::Command.as_str();
    if task.abi == Abi::Extism1 && !outline.exports.contains_key(all) {
        needed.retain(|name| *name != all);
        for command in &task.commands {
            typed(outline, &extism::command(command), extism::HOOK)?;
        }
    }
    needed.extend(
        optional
            .iter()
            .filter(|name| outline.exports.contains_key(**name)),
    );
    needed
        .into_iter()
        .try_for_each(|name| function(outline, task.abi, name))
}

fn function(outline: &Outline<'_>, abi: Abi, name: &str) -> Result<(), ModuleFault> {
    let Some(ty) = abi::export(abi, name) else {
        return Err(fault(Kind::MissingExport, name, "unknown to the ABI"));
    };
    typed(outline, name, ty)
}

/// Whether a function of this name and type is exported.
fn typed(outline: &Outline<'_>, name: &str, ty: Type) -> Result<(), ModuleFault> {
    let index = match outline.exports.get(name) {
        Some((ExternalKind::Func, index)) => usize::try_from(*index).ok(),
        _ => return Err(fault(Kind::MissingExport, name, "no function of this name")),
    };
    match index.and_then(|index| outline.functions.get(index)) {
        Some(found) if has_type(outline, *found, ty) => Ok(()),
        _ => Err(fault(Kind::MissingExport, name, &format!("must be {ty}"))),
    }
}

fn has_type(outline: &Outline<'_>, index: u32, wanted: Type) -> bool {
    let same = |found: &[ValType], wanted: &[Value]| {
        let wanted = wanted.iter().map(|value| match value {
            Value::I32 => ValType::I32,
            Value::I64 => ValType::I64,
        });
        found.iter().copied().eq(wanted)
    };
    let found = usize::try_from(index)
        .ok()
        .and_then(|at| outline.types.get(at));
    found.is_some_and(|ty| same(ty.params(), wanted.takes) && same(ty.results(), wanted.gives))
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
