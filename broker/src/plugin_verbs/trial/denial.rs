//! What to write into the manifest so that a denied call is granted.

use gm_manifest::{
    ConfigPattern, GrantPath, GrantRoot, HostPermission, HostPort, Manifest, Network,
};
use gm_protocol::plan::HostOp;

/// The line of `[permissions]` that would grant it; none if no line would.
pub(super) fn line_to_add(manifest: &Manifest, call: &str, what: &str) -> Option<String> {
    let op = HostOp::ALL.iter().copied().find(|op| op.as_str() == call)?;
    let asked = manifest.permissions();
    if op.is_file() {
        return path(manifest, op, what);
    }
    if op.is_storage() && asked.storage.is_none() {
        return Some("storage = \"1mb\"".to_owned());
    }
    if op == HostOp::HttpRequest {
        return host(manifest, what);
    }
    let permission = HostPermission::parse(op.permission()).ok()?;
    if !asked.host_api.contains(&permission) {
        let has = asked.host_api.iter().map(|has| has.as_str());
        return Some(format!(
            "host_api = {}",
            list(has.chain([permission.as_str()]))
        ));
    }
    if op == HostOp::ConfigGet && ConfigPattern::parse(what).is_ok() {
        let has = asked.config.iter().map(ConfigPattern::as_str);
        return Some(format!("config = {}", list(has.chain([what]))));
    }
    // A record of another plugin is nobody else's, whatever is asked for.
    None
}

fn path(manifest: &Manifest, op: HostOp, what: &str) -> Option<String> {
    let path = GrantPath::parse(what).ok()?;
    let files = &manifest.permissions().filesystem;
    let [mut read, mut write] = [&files.read, &files.write]
        .map(|paths| paths.iter().map(GrantPath::as_str).collect::<Vec<_>>());
    match (op, path.root()) {
        (HostOp::FileWrite, GrantRoot::Data) => write.push("$DATA"),
        // Nothing else is ever granted for writing.
        (HostOp::FileWrite, _) => return None,
        _ => read.push(path.as_str()),
    }
    let (read, write) = (list(read), list(write));
    Some(format!("filesystem = {{ read = {read}, write = {write} }}"))
}

fn host(manifest: &Manifest, what: &str) -> Option<String> {
    // Without any grant nobody looks which host it is.
    let asked =
        HostPort::parse(what).map_or_else(|_| "NAME:PORT".to_owned(), |host| host.to_string());
    let has: Vec<&str> = match &manifest.permissions().network {
        Network::Denied => Vec::new(),
        Network::Public => return None,
        Network::Hosts(hosts) => hosts.iter().map(HostPort::as_str).collect(),
    };
    let hosts = list(has.into_iter().chain([asked.as_str()]));
    Some(format!("network = {{ hosts = {hosts} }}"))
}

fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| format!("\"{item}\""))
        .collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(permissions: &str, call: &str, what: &str) -> Option<String> {
        let text = format!(
            "[identity]\nplugin_id = \"com.example.hello\"\npublic_key = \"\"\n[plugin]\nname = \"x\"\n\
             version = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"lua\"\nentrypoint = \"a.lua\"\n[permissions]\n{permissions}\n"
        );
        line_to_add(&Manifest::parse(text.as_bytes()).unwrap(), call, what)
    }

    #[test]
    fn the_line_keeps_what_is_granted_already() {
        let host_api = "host_api = [\"log:write\", \"config:read\"]\nconfig = [\"a.*\"]";
        for (permissions, call, what, line) in [
            (
                "",
                "node_put",
                "nodes:write",
                "host_api = [\"nodes:write\"]",
            ),
            (
                host_api,
                "node_get",
                "nodes:read",
                "host_api = [\"log:write\", \"config:read\", \"nodes:read\"]",
            ),
            (host_api, "config_get", "b.c", "config = [\"a.*\", \"b.c\"]"),
            (
                "filesystem = { read = [\"$REPO/docs\"] }",
                "file_read",
                "$REPO/src/a.rs",
                "filesystem = { read = [\"$REPO/docs\", \"$REPO/src/a.rs\"], write = [] }",
            ),
            (
                "",
                "file_write",
                "$DATA/x",
                "filesystem = { read = [], write = [\"$DATA\"] }",
            ),
        ] {
            assert_eq!(
                add(permissions, call, what).as_deref(),
                Some(line),
                "{call}"
            );
        }
    }

    #[test]
    fn no_line_helps_where_nothing_may_be_granted() {
        let all = "host_api = [\"nodes:write\", \"config:read\"]";
        for (call, what) in [
            ("node_put", "[{\"id\":\"n\"}]"),
            ("config_get", "no key"),
            ("file_write", "$REPO/x"),
            ("file_read", "../x"),
            ("file_read", "$REPO/.git/config"),
            ("unknown", "x"),
        ] {
            assert_eq!(add(all, call, what), None, "{call} {what}");
        }
    }
}
