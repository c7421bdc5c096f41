//! `--plugin ID`: the permissions of a loaded plugin and its operator's configuration, in
//! a home of the harness's own. The plugin itself is not run.

use std::path::Path;

use toml::Table;

use super::Usage;
use crate::probes::Kind;

/// What is taken over.
#[derive(Debug, Clone)]
pub(super) struct Borrowed {
    /// Which kind of plugin it is.
    pub(super) kind: Kind,
    /// Its `[permissions]`.
    pub(super) permissions: Table,
    /// The operator's tables but those that are the harness's own.
    pub(super) config: String,
}

impl Borrowed {
    /// Reads a plugin's manifest and its home's configuration.
    ///
    /// # Errors
    /// If they aren't there, or can't be taken over.
    pub(super) fn read(id: &str, home: Option<&Path>) -> Result<Self, Usage> {
        let home = home.ok_or_else(|| Usage("--plugin needs --home".to_owned()))?;
        let safe = id.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        });
        if !safe {
            return Err(Usage(format!("{id:?} is no plugin's id")));
        }
        let place = home.join("plugins").join(id);
        let current = read(&place.join("current"))?;
        let manifest = place.join(current.trim_end()).join("plugin.manifest.toml");
        let manifest = table(&manifest, &read(&manifest)?)?;
        let kind = manifest.get("plugin").and_then(|plugin| plugin.get("kind"));
        let kind = match kind.and_then(toml::Value::as_str) {
            Some("wasm") => Kind::Wasm,
            Some("lua") => Kind::Lua,
            Some("js") => Kind::Js,
            Some("native") => Kind::Native,
            other => return Err(Usage(format!("{id} is of no known kind: {other:?}"))),
        };
        let permissions = manifest.get("permissions").and_then(toml::Value::as_table);
        let file = home.join("broker.toml");
        let mut config = if file.exists() {
            table(&file, &read(&file)?)?
        } else {
            Table::new()
        };
        for own in [
            "schema",
            "run_as",
            "allow_native",
            "isolation",
            "restart",
            "blacklist",
        ] {
            config.remove(own);
        }
        let exceptions = config.remove("plugins");
        if exceptions.as_ref().is_some_and(|all| all.get(id).is_some()) {
            return Err(Usage(format!(
                "{}: the exceptions of [plugins.{id:?}] can't be taken over",
                file.display()
            )));
        }
        Ok(Self {
            kind,
            permissions: permissions.cloned().unwrap_or_default(),
            config: toml::to_string(&config).map_err(|error| Usage(error.to_string()))?,
        })
    }
}

fn read(file: &Path) -> Result<String, Usage> {
    super::plain_text(file).map_err(|error| Usage(format!("{}: {error}", file.display())))
}

fn table(file: &Path, text: &str) -> Result<Table, Usage> {
    text.parse()
        .map_err(|error| Usage(format!("{}: {error}", file.display())))
}
