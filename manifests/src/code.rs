//! Every reason for which something is refused before it starts.
//!
//! A code is stable: it is what scripts and tests compare. It belongs to one
//! class, the class decides the exit code, and each code has one remedy line.

use serde::{Serialize, Serializer};
use std::io::ErrorKind;

/// Writes the enum, its text and its remedy from one table, so that no code can
/// lack any of them.
macro_rules! codes {
    ($($name:ident $text:literal $remedy:literal)*) => {
        /// A stable reason code, `class/name`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The stable text, `class/name`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// One line that says what to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Code::$name => $remedy,)* }
            }
        }
    };
}

codes! {
    UsageArguments "usage/arguments" "see --help for the arguments of this verb"
    UsageUnknownPlugin "usage/unknown-plugin" "load it first: gm plugin load PATH"
    ConfigSyntax "config/syntax" "correct broker.toml at that line"
    ConfigUnknownKey "config/unknown-key" "remove the key from broker.toml, or correct its name"
    ConfigBadValue "config/bad-value" "correct the value in broker.toml"
    SourceNotARepository "source/not-a-repository" "name a Git repository with --repo DIR"
    SourceBadRange "source/bad-range" "name commits that exist in this repository"
    SourceObjectFormat "source/object-format" "use a repository with SHA-1 or SHA-256 objects"
    SourceBadEvent "source/bad-event" "name an events file that can be read, and correct the line that the message names"
    SourceGraph "source/graph" "name another file with --graph FILE, or move this one away"
    SourceUnsafeOwner "source/unsafe-owner" "run as the owner of the repository, or name it in [source] trust of broker.toml"

    ManifestNoManifest "manifest/no-manifest" "put a readable plugin.manifest.toml into the package directory"
    ManifestTooBig "manifest/too-big" "shorten the manifest to 64 KiB"
    ManifestNotUtf8 "manifest/not-utf8" "save the manifest as UTF-8"
    ManifestSyntax "manifest/syntax" "correct the manifest at that line; lines end in LF alone"
    ManifestUnknownKey "manifest/unknown-key" "remove the key, or correct its name"
    ManifestDuplicate "manifest/duplicate" "keep one of the two"
    ManifestMissingKey "manifest/missing-key" "add the key to the manifest"
    ManifestBadValue "manifest/bad-value" "correct the value in the manifest"
    ManifestBadId "manifest/bad-id" "use 2 to 10 segments of a-z, 0-9 and inner hyphens, joined by dots"
    ManifestBadFingerprint "manifest/bad-fingerprint" "write the full fingerprint: 40 or 64 upper-case hex digits"
    ManifestBadPath "manifest/bad-path" "use plain relative paths of the package, or $REPO, $DATA, $ASSETS and absolute paths in grants"
    ManifestBadVersion "manifest/bad-version" "use a semantic version such as 1.2.3"
    ManifestApiVersion "manifest/api-version" "build the plugin for the API version that this host speaks"
    ManifestSignatureForm "manifest/signature-form" "let `gm gpg sign` write the line signature = \"...\" below [identity]"

    SignatureBase64 "signature/base64" "sign again with `gm gpg sign`"
    SignatureMalformed "signature/malformed" "sign again with `gm gpg sign`"
    SignatureNotOne "signature/not-one" "sign again with `gm gpg sign`: exactly one signature"
    SignatureWrongType "signature/wrong-type" "sign again with `gm gpg sign`: a binary data signature"
    SignatureVersion "signature/version" "sign again with a version 4 or 6 key"
    SignatureNoIssuer "signature/no-issuer" "sign again with a tool that names the issuer's full fingerprint"
    SignatureContext "signature/context" "sign again with `gm gpg sign`: it states what the signature is for"
    SignatureBadSignature "signature/bad-signature" "get the package again from its author; it was changed after signing"
    SignatureHashWeak "signature/hash-weak" "the author must sign again with SHA-256, SHA-384 or SHA-512"
    SignatureFuture "signature/future" "set the clock right, here or at the author's"
    SignatureBeforeKey "signature/before-key" "the author must sign again with a right clock"
    SignatureSigExpired "signature/sig-expired" "the author must sign again"
    SignatureCriticalUnknown "signature/critical-unknown" "the author must sign again without unknown critical parts"

    KeyUnknownSigner "key/unknown-signer" "if you trust this author: gm gpg trust add FILE --fingerprint FPR --namespace PATTERN"
    KeyWeakKey "key/weak-key" "the author must use Ed25519, Ed448, NIST P-256/384/521 or RSA of 3072 bits and more"
    KeyExpired "key/expired" "get the author's extended certificate and add it again"
    KeyRevokedHard "key/revoked-hard" "do not use it; ask the author for a new key by another way"
    KeyRevokedSoft "key/revoked-soft" "the author must sign again with the key that replaced this one"
    KeyNotSigning "key/not-signing" "the author must sign with a key made for signing"
    KeyUnboundSubkey "key/unbound-subkey" "get the author's current certificate and add it again"
    KeyCertMalformed "key/cert-malformed" "export the public certificate again (at most 1 MiB, one certificate, no secret parts)"

    IdentityWrongSigner "identity/wrong-signer" "sign with the key that public_key names"
    IdentityNamespaceDenied "identity/namespace-denied" "trust the key for this id: gm gpg trust add FILE --fingerprint FPR --namespace ID"
    IdentityNamespaceConflict "identity/namespace-conflict" "remove one of the keys that own the same namespace"
    IdentityPinChanged "identity/pin-changed" "possible impersonation: ask the author by another way before trusting another key"
    IdentityVersionRollback "identity/version-rollback" "load a version that is not older than the newest one seen"

    ArtifactMissing "artifact/missing" "put the named file into the package, readable, or take it out of the manifest"
    ArtifactExtraFile "artifact/extra-file" "name the file in the manifest, or remove it from the package"
    ArtifactDigestMismatch "artifact/digest-mismatch" "the installed package was changed: load it again from its source"
    ArtifactNotRegular "artifact/not-regular" "a package holds plain files with one link only"
    ArtifactChangedDuringRead "artifact/changed-during-read" "leave the package alone while it is read, then try again"
    ArtifactTooBig "artifact/too-big" "at most 256 entries and 64 MiB in all"
    ArtifactUnsafePath "artifact/unsafe-path" "no symbolic links, mounts or special files in a package"
    ArtifactNotWasm "artifact/not-wasm" "name a WebAssembly binary module as entrypoint"
    ArtifactMalformedCode "artifact/malformed-code" "build the module for WebAssembly 2.0 without threads"
    ArtifactTooComplex "artifact/too-complex" "make the module smaller, or raise the compiler's caps in broker.toml"
    ArtifactMissingExport "artifact/missing-export" "export memory, gm_alloc and every hook that the manifest lists"
    ArtifactImportUnknown "artifact/import-unknown" "import only what the ABI of the manifest has, from the modules that it names"
    ArtifactImportType "artifact/import-type" "declare the import with its documented type"

    RevokedKey "revoked/key" "do not use it; the author's key was revoked"
    RevokedPluginVersion "revoked/plugin-version" "load a version that is not revoked"
    RevokedArtifact "revoked/artifact" "load a build whose files are not revoked"
    RevokedLocal "revoked/local" "it was revoked here; see trust/blacklist/local.toml"

    PolicyUnsigned "policy/unsigned" "sign it: gm gpg sign PATH --key DIR/secret.pgp"
    PolicyNativeDisallowed "policy/native-disallowed" "name the id in allow_native of broker.toml, and run with --allow-native"
    PolicyPermissionIncrease "policy/permission-increase" "look at what it asks for, then load with --accept-permissions DIGEST"
    PolicySafeMode "policy/safe-mode" "leave safe mode to start plugins"
    PolicyImportNotGranted "policy/import-not-granted" "add the permission to the manifest, or drop the import"
    PolicyDisabled "policy/disabled" "enable it: gm plugin enable ID"
    PolicyQuarantined "policy/quarantined" "look at its log, then: gm plugin enable ID"
    PolicyLimitTooSmall "policy/limit-too-small" "raise that limit in the manifest"
    PolicyAdmission "policy/admission" "run fewer plugins at once, or give the broker's group more memory"

    StoreUnsafePermissions "store/unsafe-permissions" "make home and all below it yours alone: directories 0700, files 0600, no links"
    StoreCorrupt "store/corrupt" "mend what the message names (disk, descriptors); else restore the file from a copy, or remove it and add its contents again"
    StoreLocked "store/locked" "wait for the other process, then try again"

    WallLevel "wall/level" "give the broker what the message names, or lower isolation.min in broker.toml knowingly"
    WallEngineMissing "wall/engine-missing" "install all binaries in one directory, owned by root or you, writable by nobody else"
    WallKindUnsupported "wall/kind-unsupported" "use a build that has an engine for this kind"
    WallUserNs "wall/user-ns" "allow user namespaces on this machine"
    WallPidNs "wall/pid-ns" "allow pid namespaces on this machine"
    WallMountNs "wall/mount-ns" "allow mount namespaces on this machine"
    WallNetNs "wall/net-ns" "allow network namespaces on this machine"
    WallIpcNs "wall/ipc-ns" "allow ipc namespaces on this machine"
    WallUtsNs "wall/uts-ns" "allow uts namespaces on this machine"
    WallUid "wall/uid" "give the broker a range of user ids of its own (isolation.uids, subuid)"
    WallCaps "wall/caps" "start the broker with the capabilities that its launcher needs"
    WallCgroupMemory "wall/cgroup-memory" "give the broker a group with the memory controller"
    WallCgroupPids "wall/cgroup-pids" "give the broker a group with the pids controller"
    WallCgroupCpu "wall/cgroup-cpu" "give the broker a group with the cpu controller"
    WallLandlock "wall/landlock" "enable Landlock in the kernel (lsm=landlock,...)"
    WallSeccomp "wall/seccomp" "use a kernel with seccomp filters"
    WallMounts "wall/mounts" "allow mounts inside user namespaces on this machine"
    WallDescriptors "wall/descriptors" "start the broker without leaked descriptors"

    InternalPanic "internal/panic" "give the host memory and descriptors if the message says so; else it is a bug: please report it with the command that shows it"
    InternalLauncher "internal/launcher" "look at logs/broker.jsonl; the launcher died, so the run ended"
    InternalProof "internal/proof" "this is a bug in the host: the filter is not what the policy says, so nothing started"
}

impl Code {
    /// What stands before the slash.
    #[must_use]
    pub fn class(self) -> &'static str {
        self.as_str().split('/').next().unwrap_or("internal")
    }

    /// The exit code of the process that ends with this refusal.
    #[must_use]
    pub fn exit(self) -> u8 {
        match self.class() {
            "usage" | "config" | "source" => 2,
            "manifest" => 10,
            "signature" => 11,
            "key" => 12,
            "identity" => 13,
            "artifact" => 14,
            "revoked" => 16,
            "policy" => 17,
            "store" => 18,
            "wall" => 30,
            _ => 70,
        }
    }

    /// The code of a place of the home that could not be read or written, by what
    /// the system said. Where the operator's own path can't be used, that is
    /// `usage/arguments` instead.
    #[must_use]
    pub fn of_store(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::PermissionDenied | ErrorKind::NotADirectory => Self::StoreUnsafePermissions,
            _ => Self::StoreCorrupt,
        }
    }

    /// The code with this stable text, if there is one.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_its_own_text_and_one_remedy_line() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(
                !code.remedy().is_empty() && !code.remedy().contains('\n'),
                "{code}"
            );
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn the_class_decides_the_exit_code() {
        for (text, exit) in [
            ("usage/arguments", 2),
            ("config/syntax", 2),
            ("source/graph", 2),
            ("manifest/too-big", 10),
            ("signature/base64", 11),
            ("key/expired", 12),
            ("identity/pin-changed", 13),
            ("artifact/missing", 14),
            ("revoked/key", 16),
            ("policy/unsigned", 17),
            ("store/locked", 18),
            ("wall/landlock", 30),
            ("internal/panic", 70),
        ] {
            assert_eq!(Code::from_text(text).unwrap().exit(), exit, "{text}");
        }
    }

    #[test]
    fn only_internal_codes_end_with_seventy() {
        for code in Code::ALL {
            assert_eq!(code.exit() == 70, code.class() == "internal", "{code}");
        }
    }
}
