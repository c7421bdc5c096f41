//! The modules of a package: its code and the `.js` files that the manifest
//! lists, each importable by exactly that path and nothing else by any name.
//!
//! All are parsed in one context, which can parse but is not run in, and then
//! loaded in another, which is run in but can't parse.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use gm_protocol::plan::{Engine, PluginSetup};
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::{Ctx, Error, Module, Result};

use super::errors;
use super::raw::Bytecode;
use crate::hosting;

/// The modules, for all who load them.
#[derive(Clone, Default)]
pub(super) struct Modules(Rc<RefCell<Package>>);

#[derive(Default)]
struct Package {
    sources: BTreeMap<String, &'static [u8]>,
    /// What each was compiled to, or why it wasn't.
    parsed: BTreeMap<String, std::result::Result<Bytecode, String>>,
    /// Whether the time of parsing is over.
    sealed: bool,
}

impl Modules {
    /// Takes in the package.
    pub(super) fn fill(&self, task: &PluginSetup, code: &'static [u8], assets: &'static [u8]) {
        let mut package = self.0.borrow_mut();
        package
            .sources
            .extend(hosting::modules(task, assets, Engine::Js.module_endings()));
        package.sources.insert(task.entrypoint.clone(), code);
    }

    /// Parses the code and all that it imports, then the other modules, which it
    /// may import later. An error is that of the code.
    pub(super) fn parse(&self, ctx: &Ctx<'_>, entrypoint: &str) -> std::result::Result<(), String> {
        let parsed = self.parse_one(ctx, entrypoint).map(|_| ());
        parsed.map_err(|error| errors::text(ctx, &error))?;
        let others: Vec<String> = self.0.borrow().sources.keys().cloned().collect();
        for path in others {
            if self.0.borrow().parsed.contains_key(&path) {
                continue;
            }
            // It may never be imported; if it is, that is told then.
            if let Err(error) = self.parse_one(ctx, &path) {
                let text = errors::text(ctx, &error);
                self.0.borrow_mut().parsed.insert(path, Err(text));
            }
        }
        self.0.borrow_mut().sealed = true;
        Ok(())
    }

    fn parse_one<'js>(&self, ctx: &Ctx<'js>, path: &str) -> Result<Module<'js>> {
        let source = self.0.borrow().sources.get(path).copied();
        let source = source.ok_or_else(|| unknown("", path))?;
        let text = str::from_utf8(source)
            .map_err(|_| Error::new_loading_message(path, "it is not UTF-8 text"))?;
        // What this imports is parsed within, through the loader below.
        let module = Module::declare(ctx.clone(), path, text)?;
        let code = Bytecode::of(&module)?;
        self.0.borrow_mut().parsed.insert(path.to_owned(), Ok(code));
        Ok(module)
    }

    /// Loads a module that was parsed. The engine keeps what it has loaded, so
    /// each is asked for once.
    pub(super) fn load<'js>(&self, ctx: &Ctx<'js>, path: &str) -> Result<Module<'js>> {
        let code = self.0.borrow_mut().parsed.remove(path);
        match code {
            Some(Ok(code)) => code.load(ctx),
            Some(Err(text)) => Err(Error::new_loading_message(path, text)),
            None => Err(unknown("", path)),
        }
    }
}

impl Resolver for Modules {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        base: &str,
        name: &str,
        attributes: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        if attributes.is_some() {
            let why = "a module is text of this language, without attributes";
            return Err(Error::new_resolving_message(base, name, why));
        }
        match self.0.borrow().sources.contains_key(name) {
            true => Ok(name.to_owned()),
            false => Err(unknown(base, name)),
        }
    }
}

impl Loader for Modules {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js>> {
        let sealed = self.0.borrow().sealed;
        match sealed {
            false => self.parse_one(ctx, name),
            true => Self::load(self, ctx, name),
        }
    }
}

/// Why a name is none of the package's modules.
fn unknown(base: &str, name: &str) -> Error {
    let relative = ["./", "../", "/"].iter().any(|way| name.starts_with(way));
    let why = match relative {
        true => "a module is imported by its path in the manifest's files, never by a relative one",
        false => "it is no .js file of the manifest's files",
    };
    Error::new_resolving_message(base, name, why)
}
