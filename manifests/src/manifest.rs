//! `plugin.manifest.toml`: from bytes to checked values, or a refusal with its line.
//!
//! Strict: what is unknown, doubled, out of range or oddly written is refused.
//! A manifest that parses is well formed; nobody has vouched for it yet.

use crate::document::{self, Span, Table};
use crate::slot::{self, Slot};
use crate::{
    Abi, Code, Command, Fingerprint, Hook, Kind, PackagePath, Permissions, PluginId, Refusal,
    Unfit, text,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// The file's name inside a package.
pub const MANIFEST_FILE: &str = "plugin.manifest.toml";

/// The largest manifest, in bytes: it is parsed in the broker, before any wall.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;

/// The only API version that this host speaks.
pub const API_VERSION: &str = "2.0";

/// What a manifest that isn't signed yet may hold in place of a fingerprint.
const KEY_PLACEHOLDER: &str = "FINGERPRINT";

/// Longest version text, in bytes.
const MAX_VERSION: usize = 64;
/// Longest description, licence or homepage, in bytes.
const MAX_TEXT: usize = 1024;
/// Most files beside the entrypoint: 256 entries with it and the manifest.
const MAX_FILES: usize = 254;

/// The keys of `[identity]`.
pub(crate) const IDENTITY: [&str; 3] = ["plugin_id", "public_key", "signature"];
/// The keys of `[plugin]`.
pub(crate) const PLUGIN: [&str; 12] = [
    "name",
    "version",
    "api_version",
    "kind",
    "abi",
    "entrypoint",
    "files",
    "hooks",
    "command",
    "description",
    "license",
    "homepage",
];

/// A checked manifest, with the bytes that it came from.
#[derive(Debug, Clone)]
pub struct Manifest {
    raw: String,
    places: BTreeMap<String, Span>,
    slot: Slot,
    id: PluginId,
    public_key: Option<Fingerprint>,
    plugin: Plugin,
    permissions: Permissions,
}

/// The table `[plugin]`.
#[derive(Debug, Clone)]
struct Plugin {
    name: String,
    version: semver::Version,
    kind: Kind,
    abi: Abi,
    entrypoint: PackagePath,
    files: Vec<PackagePath>,
    hooks: Vec<Hook>,
    commands: Vec<Command>,
    texts: BTreeMap<&'static str, String>,
}

impl Manifest {
    /// Checks the bytes of a manifest.
    ///
    /// # Errors
    /// A code of class `manifest`, with the line that caused it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = plain_text(bytes)?;
        let root = document::parse(text)?;
        let root = Table::root(text, &root);
        let id = root.value("identity").and_then(|identity| {
            let identity = identity.as_table()?;
            identity
                .value("plugin_id")?
                .fit(Code::ManifestBadId, PluginId::parse)
                .ok()
        });
        Self::read(text, &root).map_err(|refusal| match id {
            Some(id) => refusal.plugin(id.as_str()),
            None => refusal,
        })
    }

    fn read(text: &str, root: &Table<'_, '_>) -> Result<Self, Refusal> {
        // First of all: another version may have other keys.
        check_api_version(root)?;
        allow_only_known(root)?;
        let identity = root.required("identity")?.table()?;
        let plugin = root.required("plugin")?.table()?;
        let id = identity
            .required("plugin_id")?
            .fit(Code::ManifestBadId, PluginId::parse)?;
        let public_key = public_key(&identity)?;
        plugin.required("api_version")?.text()?;
        let plugin = Plugin::read(&plugin)?;
        let permissions = match root.value("permissions") {
            Some(value) => Permissions::read(&value.table()?, plugin.kind)?,
            None => Permissions::none(),
        };
        let mut places = BTreeMap::new();
        root.places(&mut places);
        let slot = slot::find(&identity)?;
        Ok(Self {
            raw: text.to_owned(),
            places,
            slot,
            id,
            public_key,
            plugin,
            permissions,
        })
    }

    /// `identity.plugin_id`
    #[must_use]
    pub fn id(&self) -> &PluginId {
        &self.id
    }

    /// `plugin.name`, 1 to 64 characters without control or direction characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plugin.name
    }

    /// `plugin.version`
    #[must_use]
    pub fn version(&self) -> &semver::Version {
        &self.plugin.version
    }

    /// `plugin.api_version`
    #[must_use]
    pub fn api_version(&self) -> &str {
        API_VERSION
    }

    /// `plugin.kind`
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.plugin.kind
    }

    /// `plugin.abi`
    #[must_use]
    pub fn abi(&self) -> Abi {
        self.plugin.abi
    }

    /// `plugin.entrypoint`
    #[must_use]
    pub fn entrypoint(&self) -> &PackagePath {
        &self.plugin.entrypoint
    }

    /// `plugin.files`, in the manifest's order, without the entrypoint.
    #[must_use]
    pub fn files(&self) -> &[PackagePath] {
        &self.plugin.files
    }

    /// Every file of the package but the manifest, sorted by the bytes of its path.
    #[must_use]
    pub fn paths(&self) -> Vec<&PackagePath> {
        let mut paths: Vec<_> = std::iter::once(&self.plugin.entrypoint)
            .chain(&self.plugin.files)
            .collect();
        paths.sort_unstable();
        paths
    }

    /// `plugin.hooks`
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.plugin.hooks
    }

    /// `plugin.command`, in the manifest's order.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        &self.plugin.commands
    }

    /// `plugin.description`, `license` or `homepage`: text of a stranger, to be escaped.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.plugin.texts.get(key).map(String::as_str)
    }

    /// `[permissions]`, with the defaults for what is absent.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// `identity.public_key`; `None` while it isn't filled in.
    #[must_use]
    pub fn public_key(&self) -> Option<&Fingerprint> {
        self.public_key.as_ref()
    }

    /// The text of `identity.signature`; `None` for an unsigned manifest.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        match &self.slot {
            Slot::Filled(range) => self.raw.get(range.clone()),
            Slot::Absent | Slot::Empty(_) => None,
        }
    }

    /// The bytes between the quotes of the signature line, whatever they hold.
    pub(crate) fn signature_range(&self) -> Option<Range<usize>> {
        match &self.slot {
            Slot::Filled(range) | Slot::Empty(range) => Some(range.clone()),
            Slot::Absent => None,
        }
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        self.raw.as_bytes()
    }

    /// Where a key or list item stands: `permissions.memory_limit`,
    /// `permissions.host_api[0]`. `None` if it is absent.
    #[must_use]
    pub fn span(&self, key: &str) -> Option<Span> {
        self.places.get(key).copied()
    }
}

/// The rules for bytes: a second reader of the file must see the same text.
fn plain_text(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > MAX_MANIFEST_BYTES {
        let what = format!("the manifest has {} bytes", bytes.len());
        return Err(Refusal::new(Code::ManifestTooBig, what).rule("at most 65536"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes
            .iter()
            .take(error.valid_up_to())
            .filter(|b| **b == b'\n')
            .count();
        let line = u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1);
        Refusal::new(Code::ManifestNotUtf8, "the manifest is not UTF-8").line(line)
    })?;
    for (odd, name) in [
        ('\u{feff}', "a byte-order mark"),
        ('\0', "a NUL"),
        ('\r', "a carriage return"),
    ] {
        if let Some(offset) = text.find(odd) {
            let refusal = Refusal::new(Code::ManifestSyntax, format!("the manifest holds {name}"));
            return Err(refusal
                .rule("lines end in LF alone")
                .line(Span::of(text, offset).line));
        }
    }
    Ok(text)
}

fn check_api_version(root: &Table<'_, '_>) -> Result<(), Refusal> {
    let plugin = root.value("plugin").and_then(|plugin| plugin.as_table());
    let Some(value) = plugin.and_then(|plugin| plugin.value("api_version")) else {
        return Ok(());
    };
    let asked = value.text()?;
    if asked != API_VERSION {
        let rule = format!("this host speaks {API_VERSION}");
        return Err(value.refuse(Code::ManifestApiVersion, &rule));
    }
    Ok(())
}

fn allow_only_known(root: &Table<'_, '_>) -> Result<(), Refusal> {
    root.allow_only(&["identity", "plugin", "permissions"])?;
    if let Some(identity) = root.value("identity") {
        identity.table()?.allow_only(&IDENTITY)?;
    }
    if let Some(plugin) = root.value("plugin") {
        let plugin = plugin.table()?;
        plugin.allow_only(&PLUGIN)?;
        if let Some(commands) = plugin.value("command") {
            for command in commands.items(usize::MAX)? {
                command.table()?.allow_only(&Command::KEYS)?;
            }
        }
    }
    if let Some(permissions) = root.value("permissions") {
        Permissions::allow_only_known(&permissions.table()?)?;
    }
    Ok(())
}

fn public_key(identity: &Table<'_, '_>) -> Result<Option<Fingerprint>, Refusal> {
    let value = identity.required("public_key")?;
    match value.text()? {
        "" | KEY_PLACEHOLDER => Ok(None),
        _ => value
            .fit(Code::ManifestBadFingerprint, Fingerprint::parse)
            .map(Some),
    }
}

impl Plugin {
    fn read(table: &Table<'_, '_>) -> Result<Self, Refusal> {
        const BAD: Code = Code::ManifestBadValue;
        let name = table.required("name")?.fit(BAD, name)?;
        let version = table
            .required("version")?
            .fit(Code::ManifestBadVersion, version)?;
        let kind = table.required("kind")?.fit(BAD, Kind::parse)?;
        let abi = match table.value("abi") {
            Some(abi) => abi.fit(BAD, |text| Abi::parse(text)?.fits(kind))?,
            None => Abi::Gm2,
        };
        let entrypoint = table
            .required("entrypoint")?
            .fit(Code::ManifestBadPath, PackagePath::parse)?;
        let files = files(table, &entrypoint)?;
        let hooks = match table.value("hooks") {
            Some(value) => value.fit_each(Hook::ALL.len(), BAD, Hook::parse)?,
            None => Vec::new(),
        };
        let mut texts = BTreeMap::new();
        for key in ["description", "license", "homepage"] {
            if let Some(value) = table.value(key) {
                texts.insert(key, value.fit(BAD, long_text)?);
            }
        }
        Ok(Self {
            name,
            version,
            kind,
            abi,
            entrypoint,
            files,
            hooks,
            commands: Command::all(table)?,
            texts,
        })
    }
}

/// No file is named twice, not even in another case: on some file systems the
/// two would be one.
fn files(table: &Table<'_, '_>, entrypoint: &PackagePath) -> Result<Vec<PackagePath>, Refusal> {
    let Some(value) = table.value("files") else {
        return Ok(Vec::new());
    };
    let mut seen = vec![entrypoint.as_str().to_ascii_lowercase()];
    let mut files = Vec::new();
    for item in value.items(MAX_FILES)? {
        let path = item.fit(Code::ManifestBadPath, PackagePath::parse)?;
        let folded = path.as_str().to_ascii_lowercase();
        if seen.contains(&folded) {
            return Err(item.refuse(
                Code::ManifestBadPath,
                "each file is named once, in one case",
            ));
        }
        seen.push(folded);
        files.push(path);
    }
    Ok(files)
}

fn name(text: &str) -> Result<String, Unfit> {
    if text.is_empty() || text.chars().count() > 64 {
        return Err(Unfit::new("a name has 1 to 64 characters"));
    }
    if text.chars().any(text::is_unsafe_to_show) {
        return Err(Unfit::new("a name has no control or direction characters"));
    }
    Ok(text.to_owned())
}

fn version(text: &str) -> Result<semver::Version, Unfit> {
    if text.len() > MAX_VERSION {
        return Err(Unfit::new("a version has at most 64 bytes"));
    }
    semver::Version::parse(text).map_err(|_| Unfit::new("a version is SemVer, such as 1.2.3"))
}

fn long_text(text: &str) -> Result<String, Unfit> {
    match text.len() <= MAX_TEXT {
        true => Ok(text.to_owned()),
        false => Err(Unfit::new("it has at most 1 KiB")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
