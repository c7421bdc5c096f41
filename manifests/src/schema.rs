//! The JSON Schema of the manifest, for editors and for checks that have no
//! host at hand. What counts is [`crate::Manifest::parse`]; the tests hold the
//! two together.

/// JSON Schema (draft 2020-12) of `plugin.manifest.toml`.
pub const SCHEMA: &str = include_str!("../plugin.manifest.schema.json");

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manifest::tests::{HELLO, asking, whole};
    use crate::{HostPermission, Manifest};
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::Value;
    use std::path::Path;
    use std::sync::OnceLock;

    /// What an independent validator says about a manifest's text.
    pub(crate) fn accepts(text: &str) -> bool {
        static COMPILED: OnceLock<(boon::Schemas, boon::SchemaIndex)> = OnceLock::new();
        let (schemas, index) = COMPILED.get_or_init(|| {
            let schema: Value = serde_json::from_str(SCHEMA).unwrap();
            let mut compiler = boon::Compiler::new();
            compiler.add_resource("manifest.json", schema).unwrap();
            let mut schemas = boon::Schemas::new();
            let index = compiler.compile("manifest.json", &mut schemas).unwrap();
            (schemas, index)
        });
        let manifest: Value = toml::from_str(text).unwrap();
        schemas.validate(&manifest, *index).is_ok()
    }

    /// Each name below `keys`, sorted.
    fn names(pointer: &str) -> Vec<String> {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let found = schema.pointer(pointer).unwrap();
        let mut names: Vec<String> = match found {
            Value::Object(keys) => keys.keys().cloned().collect(),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().unwrap().to_owned())
                .collect(),
            other => panic!("{other}"),
        };
        names.sort();
        names
    }

    fn sorted<'a>(items: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut items: Vec<String> = items.into_iter().map(str::to_owned).collect();
        items.sort();
        items
    }

    #[test]
    fn schema_has_the_keys_and_names_of_the_parser() {
        assert_eq!(
            names("/properties/plugin/properties"),
            sorted(crate::manifest::PLUGIN)
        );
        assert_eq!(
            names("/properties/identity/properties"),
            sorted(crate::manifest::IDENTITY)
        );
        assert_eq!(
            names("/properties/permissions/properties"),
            sorted(crate::permissions::KEYS)
        );
        assert_eq!(
            names("/properties/permissions/properties/host_api/items/enum"),
            sorted(HostPermission::ALL.map(HostPermission::as_str))
        );
        assert_eq!(
            names("/properties/plugin/properties/hooks/items/enum"),
            sorted(crate::Hook::ALL.map(crate::Hook::as_str))
        );
    }

    #[test]
    fn manifests_that_are_read_are_valid() {
        let limits = ["10ms", "99ms", "600000ms", "1s", "600s", "9m", "10m"];
        let limits = limits.map(|time| asking(&format!("time_limit = \"{time}\"")));
        let sizes = ["16mb", "16384kb", "100mb", "1gb"];
        let sizes = sizes.map(|size| asking(&format!("memory_limit = \"{size}\"")));
        let placeholders = HELLO
            .replace("0123456789ABCDEF0123456789ABCDEF01234567", "FINGERPRINT")
            .replace("AAAA", "BASE64_GPG_SIG");
        let more = [
            "network = true",
            "network = { hosts = [\"localhost:1\", \"*.a.example:65535\"] }",
            "filesystem = { read = [\"$REPO\", \"$ASSETS/..x\", \"/srv/.gitignore\"] }",
            "config = [\"a\", \"a.b_c-D.*\"]",
            "cpu_limit = \"5%\"",
        ];
        let more = more.map(asking);
        let all = limits.into_iter().chain(sizes).chain(more);
        for text in all.chain([HELLO.to_owned(), whole(), placeholders]) {
            Manifest::parse(text.as_bytes()).unwrap();
            assert!(accepts(&text), "{text}");
        }
    }

    #[test]
    fn manifests_of_the_examples_are_valid() {
        let examples =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox-runner/plugin-sdk/examples");
        let found = std::fs::read_dir(examples).unwrap().filter_map(|entry| {
            std::fs::read_to_string(entry.unwrap().path().join(crate::MANIFEST_FILE)).ok()
        });
        let valid: Vec<bool> = found.map(|text| accepts(&text)).collect();
        assert!(valid.len() >= 3 && !valid.contains(&false), "{valid:?}");
    }

    #[test]
    fn limits_below_what_a_kind_needs_are_not_valid() {
        for (kind, enough, short) in [
            ("wasm", "16384kb", "16383kb"),
            ("lua", "8192kb", "8191kb"),
            ("js", "8mb", "7mb"),
            ("native", "4096kb", "4095kb"),
        ] {
            let text = |limit| {
                asking(&format!("memory_limit = \"{limit}\""))
                    .replace("kind = \"wasm\"", &format!("kind = \"{kind}\""))
            };
            assert!(accepts(&text(enough)), "{kind}");
            assert!(!accepts(&text(short)), "{kind}");
        }
    }

    #[test]
    fn each_kind_has_its_own_abis() {
        for kind in crate::Kind::ALL {
            for abi in crate::Abi::ALL {
                let line = format!("kind = \"{kind}\"\nabi = \"{abi}\"");
                let text = HELLO.replace("kind = \"wasm\"", &line);
                let read = Manifest::parse(text.as_bytes()).is_ok();
                assert_eq!(read, accepts(&text), "{kind} {abi}");
            }
        }
    }

    /// Lines whose value is judged alike by both, each with a place for it.
    const LINES: [&str; 10] = [
        "plugin_id = \"com.example.hello@\"",
        "version = \"1.0.0@\"",
        "name = \"@\"",
        "entrypoint = \"a@\"",
        "network = { hosts = [\"a@:443\"] }",
        "filesystem = { read = [\"$REPO@\"] }",
        "memory_limit = \"3@mb\"",
        "time_limit = \"@\"",
        "cpu_limit = \"@%\"",
        "config = [\"a@\"]",
    ];

    /// What stands in such places, in part or whole.
    fn piece() -> impl Strategy<Value = &'static str> {
        select(vec![
            "", "a", "B", "-", ".", "..", "*", ".*", "/", "//", "/..", "/.git", "/.gitx", "0", "1",
            "65536", "9", "ms", "s", "m", "mb", " ", "ä", "\u{202e}", "+b", "-rc.1", "-01", "_",
            "$", ":", ":80", "~", "{",
        ])
    }

    proptest! {
        #[test]
        fn schema_and_parser_judge_values_alike(
            line in select(LINES.to_vec()), pieces in prop::collection::vec(piece(), 0..4),
        ) {
            let line = line.replace('@', &pieces.concat());
            let key = line.split(" =").next().unwrap();
            let place = format!("{key} = ");
            let text = match HELLO.lines().find(|old| old.starts_with(&place)) {
                Some(old) => HELLO.replace(old, &line),
                None => asking(&line),
            };
            let read = Manifest::parse(text.as_bytes());
            // What the schema says it leaves open.
            prop_assume!(!matches!(&read, Err(refusal) if refusal.rule.contains("2^53")));
            prop_assert_eq!(read.is_ok(), accepts(&text), "{}: {:?}", line, read.err());
        }
    }
}
