//! `gm plugin try`: signs a copy with a throw-away key and runs it once, behind
//! the same walls as always.
//!
//! The copy, its key and its trust live in a home of their own below
//! `state/try/<id>/`: neither a pin nor a trusted key of the real home comes
//! from a try.

use std::time::{Duration, SystemTime};

use gm_manifest::{
    Code, Fingerprint, Kind, MANIFEST_FILE, Manifest, NamespacePattern, PluginId, Refusal,
};
use mind_gpg::{SecretKey, SignedPlugin, TrustStore, VerifiedPlugin};
use rustix::fs::Mode;

use crate::args::Invocation;
use crate::args::broker::RunArgs;
use crate::args::gm::TryArgs;
use crate::config;
use crate::home::{self, CONFIG_FILE, Dir, Home, TRY_HOME};
use crate::output::Output;
use crate::package;
use crate::prepare::{KindAllowed, Workshop, native_allowed};
use crate::registry::{Registry, write_files};
use crate::run;

/// How long the key is good for: a week of work on a plugin.
const KEY_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A key with less left is replaced, so that it lasts for the run.
const KEY_LEFT: Duration = Duration::from_secs(60 * 60);
const KEY: &str = "secret.pgp";
const PUBLIC: &str = "public.pgp";
const PACKAGE: &str = "package";
const OWN: Mode = Mode::RUSR.union(Mode::WUSR);
/// The most bytes of either key file.
const MAX_KEY: u64 = 64 * 1024;

pub(super) fn run(
    args: TryArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, config) = invocation.open_home()?;
    let original = package::read(&args.path)?;
    let manifest = original.manifest();
    let about = |refusal: Refusal| {
        refusal
            .plugin(manifest.id().as_str())
            .version(manifest.version().to_string())
    };
    invocation.may_start().map_err(about)?;
    if manifest.kind() == Kind::Native {
        let refusal = Refusal::new(
            Code::PolicyNativeDisallowed,
            "native code is never tried out",
        );
        return Err(about(refusal.rule("sign it and load it")));
    }
    let allowed = native_allowed(manifest, &config, false)?;
    let id = manifest.id().clone();
    let place = home.try_out(&id)?;
    let held = place.lock()?;
    let tried = Tried::prepare(&home, &place, &original, &allowed)?;
    let run_args = RunArgs {
        ids: vec![id.as_str().to_owned()],
        options: args.options,
        safe_mode: false,
    };
    let exit = run::hosted_after(&tried.home, &config, &run_args, output, |session| {
        let built =
            Workshop::open(&tried.home, &config, session.launcher())?.build(&tried.plugin)?;
        built.plan.module_memory(built.code.len).map_err(about)?;
        Registry::open(&tried.home)?
            .install(&tried.plugin, &tried.trust, true)
            .map(|_| ())
    });
    Registry::open(&tried.home)?.remove(&id)?;
    drop(held);
    exit
}

/// A signed copy in a home of its own.
pub(super) struct Tried {
    pub(super) home: Home,
    pub(super) trust: TrustStore,
    pub(super) plugin: VerifiedPlugin,
}

impl Tried {
    /// Signs the copy. Its key is trusted for native code only if that is `allowed`:
    /// without it the copy isn't verified either.
    pub(super) fn prepare(
        real: &Home,
        place: &Dir,
        original: &SignedPlugin,
        allowed: &KindAllowed,
    ) -> Result<Self, Refusal> {
        let id = original.manifest().id();
        let own = own_home(real, place)?;
        let trust = TrustStore::open(own.trust()?.path())?;
        let key = key(place, id, &trust)?;
        if allowed.is_native(original.manifest()) {
            trust.add_kinds(key.fingerprint(), &[Kind::Native])?;
        }
        let copied = copy(place, original)?;
        let signed = key.sign(&package::read(&copied)?, SystemTime::now())?;
        package::replace_manifest(&copied, &signed.bytes)?;
        let plugin = trust.verify(package::read(&copied)?, SystemTime::now())?;
        not_revoked(real, &plugin)?;
        Ok(Self {
            home: own,
            trust,
            plugin,
        })
    }
}

/// The same configuration; trust and plugins of earlier tries are gone, compiled
/// code stays.
fn own_home(real: &Home, place: &Dir) -> Result<Home, Refusal> {
    let dir = place.make(TRY_HOME)?;
    for name in ["trust", "plugins"] {
        dir.remove_tree(name)?;
    }
    match real.dir().read(CONFIG_FILE, config::MAX_CONFIG)? {
        Some(config) => dir.write(CONFIG_FILE, &config)?,
        None => {
            dir.remove(CONFIG_FILE)?;
        }
    }
    home::open(dir.path()).map(|(home, _)| home)
}

/// The key of earlier tries while it is good, else a new one; trusted for this
/// id alone.
fn key(place: &Dir, id: &PluginId, trust: &TrustStore) -> Result<SecretKey, Refusal> {
    let soon = SystemTime::now() + KEY_LEFT;
    let kept = place.read(KEY, MAX_KEY)?.zip(place.read(PUBLIC, MAX_KEY)?);
    let kept = kept
        .and_then(|(secret, public)| Some((SecretKey::read(&secret, None, soon).ok()?, public)));
    let (key, public) = match kept {
        Some(kept) => kept,
        None => {
            let made = mind_gpg::generate(&format!("try {id}"), KEY_TIME, None, SystemTime::now())?;
            place.write(KEY, &made.secret)?;
            place.write(PUBLIC, &made.public)?;
            (
                SecretKey::read(&made.secret, None, SystemTime::now())?,
                made.public,
            )
        }
    };
    let exactly = NamespacePattern::parse(id.as_str())
        .map_err(|unfit| Refusal::new(Code::ManifestBadId, unfit.rule()))?;
    let fingerprint: &Fingerprint = key.fingerprint();
    trust.add_key(&public, fingerprint, &[exactly])?;
    Ok(key)
}

/// Copies what was read, with neither key nor signature in the manifest.
fn copy(place: &Dir, original: &SignedPlugin) -> Result<std::path::PathBuf, Refusal> {
    place.remove_tree(PACKAGE)?;
    let package = place.make(PACKAGE)?;
    let manifest: &Manifest = original.manifest();
    package.write(MANIFEST_FILE, &gm_manifest::forget_signer(manifest.raw())?)?;
    write_files(original.artifacts(), &package, OWN)?;
    Ok(package.path().to_owned())
}

/// What was revoked in the real home is not tried either.
fn not_revoked(real: &Home, plugin: &VerifiedPlugin) -> Result<(), Refusal> {
    let identity = plugin.identity();
    let revoked = super::trust(real)?.revocations()?;
    match revoked.iter().find(|target| target.covers(identity)) {
        None => Ok(()),
        Some(target) => Err(
            Refusal::new(Code::RevokedLocal, format!("{target} was revoked here"))
                .plugin(identity.id.as_str())
                .version(identity.version.to_string()),
        ),
    }
}
