//! Tables of manifests that are refused, each with its code and line.

mod commands;

use super::*;
use crate::{GrantRoot, HostPermission, Network};
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub(crate) const HELLO: &str = "[identity]
plugin_id = \"com.example.hello\"
public_key = \"0123456789ABCDEF0123456789ABCDEF01234567\"
signature = \"AAAA\"

[plugin]
name = \"Hello\"
version = \"1.0.0\"
api_version = \"2.0\"
kind = \"wasm\"
entrypoint = \"plugin.wasm\"
files = [\"words.txt\"]
hooks = [\"on_commit_analyzed\"]

[permissions]
";

fn refused(text: &str) -> (&'static str, Option<u32>) {
    let refusal = Manifest::parse(text.as_bytes()).unwrap_err();
    assert!(
        no_schema_can_say(&refusal) || !crate::schema::tests::accepts(text),
        "the schema accepts what is refused: {refusal}"
    );
    (refusal.code.as_str(), refusal.manifest_line)
}

/// What is a matter of the file, not of its values, what is told of files whose
/// names differ in case alone, and of commands with one name.
fn no_schema_can_say(refusal: &Refusal) -> bool {
    let of_the_file = [
        Code::ManifestSyntax,
        Code::ManifestTooBig,
        Code::ManifestNotUtf8,
        Code::ManifestDuplicate,
        Code::ManifestSignatureForm,
    ];
    of_the_file.contains(&refusal.code)
        || refusal.rule.contains("in one case")
        || refusal.rule.contains("is named once")
}

/// The manifest with one line replaced; lines count from 1.
fn with_line(number: u32, line: &str) -> String {
    let mut at = 0;
    let lines = HELLO.lines().map(|old| {
        at += 1;
        format!("{}\n", if at == number { line } else { old })
    });
    lines.collect()
}

pub(crate) fn asking(permissions: &str) -> String {
    format!("{HELLO}{permissions}\n")
}

#[test]
fn an_ordinary_manifest_is_read_with_its_defaults() {
    let manifest = Manifest::parse(HELLO.as_bytes()).unwrap();
    assert_eq!(manifest.id().as_str(), "com.example.hello");
    assert_eq!(manifest.version().to_string(), "1.0.0");
    assert_eq!(manifest.kind(), Kind::Wasm);
    assert_eq!(manifest.hooks(), [Hook::CommitAnalyzed]);
    assert_eq!(manifest.permissions(), &Permissions::none());
    assert_eq!(manifest.permissions().memory_limit.get(), 33_554_432);
    assert_eq!(manifest.signature(), Some("AAAA"));
    let paths: Vec<_> = manifest
        .paths()
        .into_iter()
        .map(PackagePath::as_str)
        .collect();
    assert_eq!(paths, ["plugin.wasm", "words.txt"]);
}

#[test]
fn every_permission_is_read_and_keeps_its_place() {
    let manifest = Manifest::parse(
        asking(
            "filesystem = { read = [\"$REPO/docs\"], write = [\"$DATA\"] }
network = { hosts = [\"api.example.com:443\"] }
memory_limit = \"64mb\"
time_limit = \"500ms\"
cpu_limit = \"50%\"
storage = \"1mb\"
host_api = [\"log:write\",
  \"nodes:read\"]
config = [\"lint.*\"]",
        )
        .as_bytes(),
    )
    .unwrap();
    let asked = manifest.permissions();
    assert_eq!(asked.filesystem.read[0].root(), GrantRoot::Repo);
    assert!(matches!(&asked.network, Network::Hosts(hosts) if hosts[0].port() == 443));
    assert_eq!(
        (
            asked.memory_limit.get(),
            asked.time_limit.get(),
            asked.cpu_limit.get()
        ),
        (64 << 20, 500, 50)
    );
    assert_eq!(asked.storage.unwrap().get(), 1 << 20);
    assert!(asked.host_api.contains(&HostPermission::NodesRead));
    assert_eq!(
        manifest.span("permissions.memory_limit"),
        Some(Span { line: 18, col: 1 })
    );
    assert_eq!(
        manifest.span("permissions.host_api[1]"),
        Some(Span { line: 23, col: 3 })
    );
    assert_eq!(
        manifest.span("permissions.filesystem.read"),
        Some(Span { line: 16, col: 16 })
    );
    assert_eq!(manifest.span("plugin.abi"), None);
}

#[test]
fn placeholders_make_an_unsigned_manifest() {
    for text in [
        HELLO
            .replace("0123456789ABCDEF0123456789ABCDEF01234567", "FINGERPRINT")
            .replace("AAAA", "BASE64_GPG_SIG"),
        HELLO
            .replace("0123456789ABCDEF0123456789ABCDEF01234567", "")
            .replace("signature = \"AAAA\"\n", ""),
        HELLO
            .replace("0123456789ABCDEF0123456789ABCDEF01234567", "")
            .replace("\"AAAA\"", "\"BASE64_GPG_SIG\"  # later"),
    ] {
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!((manifest.public_key(), manifest.signature()), (None, None));
    }
}

#[test]
fn bytes_that_two_readers_could_see_differently_are_refused() {
    assert_eq!(
        refused(&format!("\u{feff}{HELLO}")),
        ("manifest/syntax", Some(1))
    );
    assert_eq!(
        refused(&HELLO.replace('\n', "\r\n")),
        ("manifest/syntax", Some(1))
    );
    assert_eq!(
        refused(&with_line(7, "name = \"a\0b\"")),
        ("manifest/syntax", Some(7))
    );
    assert_eq!(refused(&"#\n".repeat(40_000)), ("manifest/too-big", None));
    let mut bytes = HELLO.as_bytes().to_vec();
    bytes.extend_from_slice(b"# \xff\n");
    let refusal = Manifest::parse(&bytes).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.manifest_line),
        (Code::ManifestNotUtf8, Some(16))
    );
}

#[test]
fn unknown_doubled_and_missing_keys_are_named_with_their_line() {
    assert_eq!(
        refused(&asking("gpu = true")),
        ("manifest/unknown-key", Some(16))
    );
    assert_eq!(
        refused(&asking("[other]")),
        ("manifest/unknown-key", Some(16))
    );
    assert_eq!(
        refused(&asking("[[plugin.command]]\nname = \"x\"\nrun = \"y\"")),
        ("manifest/unknown-key", Some(18))
    );
    assert_eq!(
        refused(&asking("filesystem = { exec = [] }")),
        ("manifest/unknown-key", Some(16))
    );
    assert_eq!(
        refused(&asking("network = { ports = [] }")),
        ("manifest/unknown-key", Some(16))
    );
    assert_eq!(
        refused(&asking("network = false\nnetwork = true")),
        ("manifest/duplicate", Some(17))
    );
    assert_eq!(
        refused(&asking("[identity]")),
        ("manifest/duplicate", Some(16))
    );
    for (line, gone) in [(2, 1), (3, 1), (7, 6), (8, 6), (9, 6), (10, 6), (11, 6)] {
        assert_eq!(
            refused(&with_line(line, "")),
            ("manifest/missing-key", Some(gone)),
            "line {line}"
        );
    }
    assert_eq!(refused(""), ("manifest/missing-key", Some(1)));
}

#[test]
fn another_api_version_is_told_first() {
    let text = with_line(9, "api_version = \"3.0\"\nnew_key = 1");
    let refusal = Manifest::parse(text.as_bytes()).unwrap_err();
    assert_eq!(refusal.code, Code::ManifestApiVersion);
    assert!(refusal.to_string().contains("\"3.0\"") && refusal.to_string().contains("2.0,"));
    assert_eq!(refusal.plugin.as_deref(), Some("com.example.hello"));
}

#[test]
fn values_out_of_type_or_range_are_refused_at_their_line() {
    let long_name = format!("name = \"{}\"", "x".repeat(65));
    for (line, text) in [
        (7, "name = \"\""),
        (7, &*long_name),
        (7, "name = 7"),
        (7, "name = \"a\\u202eb\""),
        (7, "name = \"a\\nb\""),
        (9, "api_version = 2.0"),
        (10, "kind = \"python\""),
        (10, "kind = \"WASM\""),
        (10, "kind = \"wasm\"\nabi = \"extism-2\""),
        (10, "kind = \"wasm\"\nabi = \"program-1\""),
        (10, "kind = \"native\"\nabi = \"extism-1\""),
        (10, "kind = \"lua\"\nabi = \"extism-1\""),
        (10, "kind = \"wasm\"\nabi = 2"),
        (12, "files = \"words.txt\""),
        (12, "files = [1]"),
        (13, "hooks = [\"init\"]"),
        (
            13,
            "hooks = [\"on_commit_analyzed\", \"on_commit_analyzed\"]",
        ),
        (4, "signature = 4"),
    ] {
        let (code, at) = refused(&with_line(line, text));
        assert_eq!(code, "manifest/bad-value", "{text}");
        assert!(at == Some(line) || text.contains('\n'), "{text}: {at:?}");
    }
}

#[test]
fn each_kind_has_its_own_abis_and_gm_2_is_the_default() {
    for (line, abi) in [
        ("kind = \"wasm\"", Abi::Gm2),
        ("kind = \"js\"\nabi = \"gm-2\"", Abi::Gm2),
        ("kind = \"wasm\"\nabi = \"extism-1\"", Abi::Extism1),
        ("kind = \"native\"\nabi = \"program-1\"", Abi::Program1),
    ] {
        let manifest = Manifest::parse(with_line(10, line).as_bytes()).unwrap();
        assert_eq!(manifest.abi(), abi, "{line}");
    }
}

#[test]
fn identity_path_and_version_have_codes_of_their_own() {
    assert_eq!(
        refused(&with_line(2, "plugin_id = \"com\"")),
        ("manifest/bad-id", Some(2))
    );
    assert_eq!(
        refused(&with_line(
            3,
            "public_key = \"0123456789abcdef0123456789abcdef01234567\""
        )),
        ("manifest/bad-fingerprint", Some(3))
    );
    assert_eq!(
        refused(&with_line(3, "public_key = \"89ABCDEF01234567\"")),
        ("manifest/bad-fingerprint", Some(3))
    );
    assert_eq!(
        refused(&with_line(8, "version = \"1.0\"")),
        ("manifest/bad-version", Some(8))
    );
    assert_eq!(
        refused(&with_line(11, "entrypoint = \"../plugin.wasm\"")),
        ("manifest/bad-path", Some(11))
    );
    assert_eq!(
        refused(&with_line(12, "files = [\"a\", \"A\"]")),
        ("manifest/bad-path", Some(12))
    );
    assert_eq!(
        refused(&with_line(12, "files = [\"Plugin.wasm\"]")),
        ("manifest/bad-path", Some(12))
    );
}

#[test]
fn permissions_that_ask_for_too_much_or_in_vain_are_refused() {
    for text in [
        "filesystem = true",
        "filesystem = \"$REPO\"",
        "network = \"all\"",
        "network = { hosts = [\"example.com\"] }",
        "network = { hosts = [\"*.com:443\"] }",
        "memory_limit = \"15mb\"",
        "memory_limit = 32",
        "memory_limit = \"32\"",
        "time_limit = \"9ms\"",
        "time_limit = \"11m\"",
        "cpu_limit = \"4%\"",
        "cpu_limit = 50",
        "storage = \"0mb\"",
        "storage = true",
        "host_api = [\"log:read\"]",
        "host_api = [\"log:write\", \"log:write\"]",
        "config = [\"*\"]",
        "config = \"lint.*\"",
    ] {
        assert_eq!(
            refused(&asking(text)),
            ("manifest/bad-value", Some(16)),
            "{text}"
        );
    }
    for text in [
        "filesystem = { read = [\"docs\"] }",
        "filesystem = { read = [\"$REPO/.git\"] }",
        "filesystem = { write = [\"$DATA\", \"$DATA\"] }",
    ] {
        assert_eq!(
            refused(&asking(text)),
            ("manifest/bad-path", Some(16)),
            "{text}"
        );
    }
}

#[test]
fn lists_have_their_most() {
    let list = |count: usize, item: &dyn Fn(usize) -> String| {
        (0..count)
            .map(|n| format!("{:?}", item(n)))
            .collect::<Vec<_>>()
            .join(",")
    };
    let hosts = |count| {
        asking(&format!(
            "network = {{ hosts = [{}] }}",
            list(count, &|n| format!("h{n}.example.com:443"))
        ))
    };
    assert!(Manifest::parse(hosts(64).as_bytes()).is_ok());
    assert_eq!(refused(&hosts(65)), ("manifest/bad-value", Some(16)));
    let paths = |count| {
        asking(&format!(
            "filesystem = {{ read = [{}] }}",
            list(count, &|n| format!("$REPO/{n}"))
        ))
    };
    assert!(Manifest::parse(paths(32).as_bytes()).is_ok());
    assert_eq!(refused(&paths(33)), ("manifest/bad-value", Some(16)));
    let files = |count| {
        with_line(
            12,
            &format!("files = [{}]", list(count, &|n| format!("f{n}"))),
        )
    };
    assert!(Manifest::parse(files(254).as_bytes()).is_ok());
    assert_eq!(refused(&files(255)), ("manifest/bad-value", Some(12)));
}

#[test]
fn each_kind_speaks_its_own_abis_and_gm_2_unless_it_says_otherwise() {
    for (kind, spoken) in [
        (Kind::Wasm, &["gm-2", "extism-1"][..]),
        (Kind::Native, &["gm-2", "program-1"]),
        (Kind::Lua, &["gm-2"]),
        (Kind::Js, &["gm-2"]),
    ] {
        let of = |abi: &str| with_line(10, &format!("kind = \"{kind}\"{abi}"));
        let manifest = Manifest::parse(of("").as_bytes()).unwrap();
        assert_eq!(manifest.abi(), Abi::Gm2);
        for abi in ["gm-2", "extism-1", "program-1", "gm-3", ""] {
            let text = of(&format!("\nabi = \"{abi}\""));
            if spoken.contains(&abi) {
                let manifest = Manifest::parse(text.as_bytes()).unwrap();
                assert_eq!(manifest.abi().as_str(), abi);
            } else {
                assert_eq!(refused(&text), ("manifest/bad-value", Some(11)), "{text}");
            }
        }
    }
}

#[test]
fn the_least_memory_depends_on_the_kind() {
    for (kind, enough, short) in [
        ("wasm", "16mb", "15mb"),
        ("lua", "8mb", "7mb"),
        ("js", "8mb", "7mb"),
        ("native", "4mb", "3mb"),
    ] {
        let text = |limit| {
            asking(&format!("memory_limit = \"{limit}\""))
                .replace("kind = \"wasm\"", &format!("kind = \"{kind}\""))
        };
        assert!(Manifest::parse(text(enough).as_bytes()).is_ok(), "{kind}");
        assert_eq!(
            refused(&text(short)),
            ("manifest/bad-value", Some(16)),
            "{kind}"
        );
    }
}

#[test]
fn the_signature_line_has_one_form() {
    for line in [
        "'signature' = \"AAAA\"",
        "\"signature\" = \"AAAA\"",
        "signature = 'AAAA'",
        "signature = \"\"\"AAAA\"\"\"",
        "signature = '''AAAA'''",
        "signature = \"\\u0041AAA\"",
        "signature = \"AAAA\" # comment",
        " signature = \"AAAA\"",
        "\tsignature = \"AAAA\"",
        "signature = \"\"\"\nAAAA\"\"\"",
    ] {
        assert_eq!(
            refused(&with_line(4, line)),
            ("manifest/signature-form", Some(4)),
            "{line}"
        );
    }
    for line in ["signature=\"AAAA\"", "signature\t = \t\"AAAA\" \t"] {
        assert_eq!(
            Manifest::parse(with_line(4, line).as_bytes())
                .unwrap()
                .signature(),
            Some("AAAA"),
            "{line}"
        );
    }
}

#[test]
fn dotted_and_inline_identities_cannot_be_signed() {
    let rest = HELLO.split_once("\n\n").unwrap().1;
    let inline = "plugin_id = \"com.example.hello\", public_key = \"\", ";
    for head in [
        format!("identity = {{ {inline}signature = \"AAAA\" }}"),
        format!("identity = {{ {inline}\nsignature = \"AAAA\"\n}}"),
        "identity.plugin_id = \"com.example.hello\"\nidentity.public_key = \"\"\nidentity.signature = \"AAAA\"".to_owned(),
    ] {
        assert_eq!(refused(&format!("{head}\n{rest}")).0, "manifest/signature-form", "{head}");
    }
}

#[test]
fn a_second_signature_line_in_a_text_or_comment_is_not_the_signature() {
    let text = with_line(
        4,
        "# signature = \"BBBB\"\nsignature = \"AAAA\"\n#signature = \"CCCC\"",
    );
    let text = text.replace(
        "[permissions]",
        "description = \"\"\"\nsignature = 'DDDD'\n\"\"\"\n[permissions]",
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.signature(), Some("AAAA"));
}

/// A manifest with every table and most keys.
pub(crate) fn whole() -> String {
    asking(
        "filesystem = { read = [\"$REPO/src\"], write = [\"$DATA\"] }\n\
         network = { hosts = [\"api.example.com:443\"] }\n\
         memory_limit = \"32mb\"\ntime_limit = \"2s\"\ncpu_limit = \"50%\"\n\
         storage = \"1mb\"\nhost_api = [\"log:write\"]\nconfig = [\"lint.*\"]\n\
         [[plugin.command]]\nname = \"suggest\"\ndescription = \"x\"",
    )
}

/// What a hostile author would try: the marks of TOML, and what breaks lines.
fn words() -> impl Strategy<Value = &'static str> {
    select(vec![
        "\"",
        "'",
        "\"\"\"",
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        ".",
        ",",
        "#",
        "\n",
        "\r",
        "\0",
        "\t",
        "\\u0000",
        "\u{feff}",
        "\u{202e}",
        "[identity]\n",
        "[plugin]\n",
        "signature = \"\"\n",
        "99999999999999999999",
        "-1",
        "1e999",
        "nan",
        "1979-05-27",
        "true",
        "../",
        "$REPO",
        "\u{1d7d8}",
    ])
}

/// A refusal of the manifest's class whose line, if it names one, is there.
fn decent(bytes: &[u8]) {
    let Err(refusal) = Manifest::parse(bytes) else {
        return;
    };
    assert_eq!(refusal.code.class(), "manifest", "{refusal}");
    assert!(!refusal.detail.is_empty(), "{refusal}");
    let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    let line = usize::try_from(refusal.manifest_line.unwrap_or(1)).unwrap();
    assert!((1..=lines).contains(&line), "{refusal} of {lines} lines");
}

proptest! {
    #[test]
    fn a_spoiled_manifest_is_read_or_refused_with_a_code_of_its_class(
        edits in prop::collection::vec((any::<Index>(), words(), 0usize..12), 1..5),
    ) {
        let mut text = whole();
        for (at, word, gone) in edits {
            let start = at.index(text.len());
            let start = (start..).find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (start + gone..).find(|at| *at >= text.len() || text.is_char_boundary(*at));
            text.replace_range(start..end.unwrap().min(text.len()), word);
        }
        decent(text.as_bytes());
    }

    #[test]
    fn any_value_of_any_key_is_read_or_refused_with_a_code_of_its_class(
        line in 0usize..28, value in "[ -~\u{80}-\u{10ffff}]{0,60}",
    ) {
        let text = whole();
        let lines = text.lines().enumerate().map(|(number, old)| {
            match old.split_once(" = ") {
                Some((key, _)) if number == line => format!("{key} = {value}\n{key}2 = \"{value}\"\n"),
                _ => format!("{old}\n"),
            }
        });
        decent(lines.collect::<String>().as_bytes());
    }

    #[test]
    fn random_bytes_are_no_manifest(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        decent(&bytes);
        decent(&[whole().as_bytes(), &bytes].concat());
    }
}
