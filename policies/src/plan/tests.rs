use super::*;

const HEAD: &str = "[identity]\nplugin_id = \"com.example.a\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\n";

fn manifest(kind: &str, permissions: &str) -> Manifest {
    let text = format!(
        "{HEAD}kind = \"{kind}\"\nentrypoint = \"a.wasm\"\nfiles = [\"words.txt\"]\n[permissions]\n{permissions}"
    );
    Manifest::parse(text.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn plan(permissions: &str) -> Plan {
    Plan::derive(&manifest("wasm", permissions), &Operator::default()).unwrap()
}

fn shown() -> Shown {
    Shown {
        level: gm_protocol::plan::Level::L4,
        landlock_abi: 7,
        stages: Stages::Both,
    }
}

fn lines(plan: &Plan, kind: &str) -> Vec<serde_json::Value> {
    let lines = plan.lines(shown()).into_iter();
    lines
        .filter(|line| line.kind() == kind)
        .map(|line| serde_json::to_value(line).unwrap())
        .collect()
}

fn machine_code(abi: &str) -> Plan {
    let manifest = manifest(&format!("native\"\nabi = \"{abi}"), "");
    Plan::derive(&manifest, &Operator::default()).unwrap()
}

#[test]
fn wall_of_machine_code_is_loading_and_shown_so() {
    for (abi, engine, ceiling) in [("gm-2", "native", 17), ("program-1", "program", 40)] {
        let plan = machine_code(abi);
        assert_eq!(plan.wall(), LayerName::Loading);
        assert_eq!(plan.limits().pids, 16);
        let shown = &lines(&plan, "plan")[0];
        assert_eq!(shown["engine"], engine);
        assert_eq!(shown["wall"], "loading");
        assert_eq!(shown["ceiling"], ceiling);
        assert_eq!(shown["running_calls"], plan.running_calls());
    }
    assert_eq!(lines(&plan(""), "plan")[0]["wall"], "running");
}

#[test]
fn machine_code_reads_its_package_and_only_a_program_is_executed() {
    let rules = |abi| -> Vec<(String, u64)> {
        let rules = machine_code(abi).landlock(7).into_iter();
        rules
            .map(|rule| (rule.path.to_string(), rule.rights))
            .collect()
    };
    let assets = ("/assets".to_owned(), READ_FILE | READ_DIR);
    assert_eq!(
        rules("gm-2"),
        [("/code".to_owned(), READ_FILE), assets.clone()]
    );
    let executable = ("descriptor 4".to_owned(), READ_FILE | EXECUTE);
    assert_eq!(rules("program-1"), [executable, assets]);
    let targets = |abi| -> Vec<String> {
        let mounts = lines(&machine_code(abi), "mount").into_iter();
        mounts
            .map(|mount| mount["target"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut expected = vec!["/".to_owned(), "/code".into(), "/assets".into()];
    expected.extend(gm_protocol::plan::LIBRARIES.map(|name| format!("/lib64/{name}")));
    assert_eq!(targets("gm-2"), expected);
    assert_eq!(targets("program-1"), ["/", "/assets"]);
}

#[test]
fn error_output_of_a_program_is_logged_without_a_grant() {
    let log = |plan: &Plan| plan.host_ops().has(HostOp::Log);
    assert!(log(&machine_code("program-1")));
    assert!(!log(&machine_code("gm-2")));
    let shown = lines(&machine_code("program-1"), "host_call");
    let log = shown.iter().find(|line| line["name"] == "log").unwrap();
    assert_eq!(log["because"][0]["from"], "engine");
}

#[test]
fn granted_groups_give_their_host_calls_and_no_other() {
    let plan = plan("host_api = [\"nodes:read\", \"config:read\"]\nconfig = [\"lint.*\"]");
    let named: Vec<_> = lines(&plan, "host_call")
        .iter()
        .map(|line| line["name"].clone())
        .collect();
    let free = ["reply", "fail", "result", "asset_read"];
    assert_eq!(
        named,
        [&free[..], &["config_get", "node_get", "node_query"]].concat()
    );
    assert!(!plan.host_ops().has(HostOp::NodePut));
    assert_eq!(
        lines(&plan, "host_call")[4]["scope"],
        serde_json::json!(["lint.*"])
    );
    assert!(plan.reason_for(HostOp::NodePut).is_none());
}

#[test]
fn every_line_of_a_plan_has_a_reason() {
    let plan = plan("host_api = [\"log:write\"]\nnetwork = { hosts = [\"a.example.com:443\"] }");
    let without = plan.lines(shown()).into_iter().filter(|line| {
        let line = serde_json::to_value(line).unwrap();
        !matches!(line["kind"].as_str(), Some("plan" | "proof"))
            && line["because"].as_array().is_none_or(Vec::is_empty)
    });
    assert_eq!(without.count(), 0);
}

#[test]
fn kinds_of_lines_come_in_their_documented_order() {
    let order = [
        "plan",
        "rule",
        "landlock",
        "mount",
        "limit",
        "fd",
        "host_call",
        "refused",
        "proof",
    ];
    let plan = plan("network = { hosts = [\"a.example.com:443\"] }");
    let mut seen: Vec<_> = plan.lines(shown()).iter().map(Line::kind).collect();
    seen.dedup();
    assert_eq!(seen, order);
}

#[test]
fn running_stage_shows_as_many_allowed_calls_as_it_counts() {
    let plan = plan("");
    let allowed = lines(&plan, "rule").into_iter();
    let allowed = allowed.filter(|line| line["stage"] == "running" && line["action"] == "allow");
    assert_eq!(allowed.count(), plan.running_calls());
    assert!(plan.running_calls() <= plan.ceiling());
}

#[test]
fn digest_of_a_profile_follows_what_is_enforced_and_nothing_else() {
    let digest = |permissions: &str| plan(permissions).profile_digest();
    let base = digest("host_api = [\"log:write\"]");
    assert_eq!(
        digest("# a remark\n\nhost_api = [\"log:write\"]\nmemory_limit = \"32mb\""),
        base
    );
    for other in [
        "",
        "host_api = [\"log:write\"]\nmemory_limit = \"33mb\"",
        "host_api = [\"log:write\", \"nodes:read\"]",
    ] {
        assert_ne!(digest(other), base, "{other}");
    }
}

#[test]
fn code_that_needs_more_than_the_limit_is_refused_with_the_number() {
    let plan = plan("memory_limit = \"16mb\"");
    assert_eq!(plan.module_memory(0).unwrap(), 8 << 20);
    let refusal = plan.module_memory(8 << 20).unwrap_err();
    assert_eq!(refusal.code, Code::PolicyLimitTooSmall);
    assert!(refusal.detail.contains("18874368"), "{}", refusal.detail);
    assert_eq!(refusal.manifest_line, Some(12));
}

#[test]
fn compiler_writes_no_more_than_its_memory() {
    let operator = Operator {
        compile_memory: crate::Told::at(gm_manifest::Bytes::mb(64), 3),
        ..Operator::default()
    };
    let plan = CompilePlan::derive(&operator).unwrap();
    assert_eq!(plan.limits().file_bytes, 64 << 20);
}

#[test]
fn granted_paths_open_just_their_calls_and_are_proved() {
    let calls = |permissions: &str| {
        let plan = plan(permissions);
        let lines = lines(&plan, "rule").into_iter();
        let running = lines.filter(|line| line["stage"] == "running" && line["action"] == "allow");
        running
            .map(|line| line["call"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let none = calls("");
    let more = |permissions: &str| -> Vec<String> {
        calls(permissions).difference(&none).cloned().collect()
    };
    let read = ["close", "fstat", "getdents64", "openat", "pread64"];
    assert_eq!(more("filesystem = { read = [\"$REPO\"] }"), read);
    let write = [&read[..], &["pwrite64"]].concat();
    assert_eq!(more("filesystem = { write = [\"$DATA\"] }"), write);
    for empty in [
        "filesystem = false",
        "filesystem = { read = [], write = [] }",
        "filesystem = { read = [\"$ASSETS\"] }",
        "filesystem = { read = [\"/etc\"] }",
    ] {
        assert!(more(empty).is_empty(), "{empty}");
    }
}

#[test]
fn granted_path_has_its_mount_its_landlock_rule_and_its_calls_with_the_line_that_asks() {
    let plan = plan("filesystem = { read = [\"$REPO/docs\"], write = [\"$DATA/x\", \"$DATA/y\"] }");
    let of = |kind: &str, key: &str, value: &str| {
        let found = lines(&plan, kind)
            .into_iter()
            .find(|line| line[key] == value);
        let line = found.unwrap_or_else(|| panic!("no {kind} {value}"));
        assert_eq!(line["because"][0]["line"], 12, "{line:#}");
        line
    };
    assert_eq!(of("mount", "target", "/grant/0")["source"], "$REPO/docs");
    assert_eq!(of("mount", "target", "/data")["bytes"], 16 << 20);
    assert_eq!(
        of("landlock", "path", "/grant/0")["rights"],
        serde_json::json!(["read_file", "read_dir"])
    );
    assert_eq!(
        of("host_call", "name", "file_write")["scope"],
        serde_json::json!(["$DATA"])
    );
    assert_eq!(plan.limits().file_bytes, 16 << 20);
    assert!(
        plan.landlock(2)
            .iter()
            .all(|rule| rule.rights & TRUNCATE == 0)
    );
}

#[test]
fn paths_that_are_not_there_close_their_calls_again() {
    let before = plan("filesystem = { read = [\"$REPO/docs\"] }");
    let more = before.running_calls();
    let after = before.placed(vec![], vec![]).unwrap();
    assert_eq!(after.running_calls() + 5, more);
    assert_eq!(after.landlock(7).len(), 1);
    // The module may still import the calls: they are answered, not refused.
    assert!(after.imports().has(HostOp::FileRead));
}

#[test]
fn storage_gives_its_four_calls_and_its_quota_with_the_line_that_asks() {
    let with = plan("storage = \"2mb\"");
    let calls: Vec<_> = lines(&with, "host_call")
        .into_iter()
        .filter(|line| line["name"].as_str().unwrap().starts_with("storage_"))
        .collect();
    assert_eq!(calls.len(), 4);
    for call in calls {
        assert_eq!(call["because"][0]["key"], "permissions.storage");
        assert_eq!(call["because"][0]["line"], 12);
    }
    let limits = lines(&with, "limit");
    let quota = limits.iter().find(|limit| limit["name"] == "storage");
    assert_eq!(quota.unwrap()["value"], 2 << 20);
    assert_eq!(with.storage_bytes(), 2 << 20);
    let without = plan("");
    assert!(!without.host_ops().has(HostOp::StorageGet));
    assert_eq!(without.storage_bytes(), 0);
}

fn with_network(permissions: &str) -> Plan {
    let mut operator = Operator::default();
    operator.grants.network = crate::Told::at(gm_manifest::Network::Public, 7);
    Plan::derive(&manifest("wasm", permissions), &operator).unwrap()
}

#[test]
fn granted_hosts_are_the_scope_of_a_call_and_open_nothing_in_the_plugins_process() {
    let hosts = "network = { hosts = [\"*.b.example:443\", \"a.example:80\"] }";
    let (with, without) = (with_network(hosts), plan(""));
    assert!(with.host_ops().has(HostOp::HttpRequest) && with.imports().has(HostOp::HttpRequest));
    assert!(!without.host_ops().has(HostOp::HttpRequest) && without.http().is_none());
    assert_eq!(with.filters(), without.filters());
    assert_eq!(with.landlock(7), without.landlock(7));
    let call = lines(&with, "host_call").pop().unwrap();
    assert_eq!(call["name"], "http_request");
    assert_eq!(
        call["scope"],
        serde_json::json!(["*.b.example:443", "a.example:80"])
    );
    assert_eq!(call["because"][0]["line"], 12);
    assert_ne!(with.profile_digest(), without.profile_digest());
}

#[test]
fn process_that_makes_requests_is_shown_after_the_plugins_own() {
    let plan = with_network("network = { hosts = [\"a.example:8080\"] }");
    let ports: Vec<_> = lines(&plan, "http_landlock")
        .iter()
        .map(|line| line["port"].clone())
        .collect();
    assert_eq!(
        ports,
        serde_json::json!([8080, 53, null])
            .as_array()
            .unwrap()
            .as_slice()
    );
    let first = lines(&plan, "http_plan").pop().unwrap();
    assert_eq!(
        (first["network"].clone(), first["ceiling"].clone()),
        ("host".into(), 12.into())
    );
    assert_eq!(lines(&plan, "http_proof").len(), 4);
    let shown = plan.lines(shown());
    let last_own = shown.iter().rposition(|line| line.kind() == "proof");
    let first_http = shown.iter().position(|line| line.kind() == "http_plan");
    assert!(last_own < first_http);
    assert!(
        shown
            .iter()
            .filter(|line| line.kind().starts_with("http_"))
            .all(|line| line.text().starts_with("http "))
    );
}

#[test]
fn hosts_need_a_kernel_that_can_hold_their_ports() {
    let hosts = || with_network("network = { hosts = [\"a.example:443\"] }");
    assert!(hosts().on_kernel(4).http().is_some());
    let plan = hosts().on_kernel(3);
    assert!(plan.http().is_none() && !plan.host_ops().has(HostOp::HttpRequest));
    let refused = plan.effective().refused.first().unwrap();
    assert_eq!(
        (refused.asked, refused.by),
        ("network", crate::RefusedBy::Host)
    );
    // Every port is open to it anyway.
    assert!(with_network("network = true").on_kernel(3).http().is_some());
}
