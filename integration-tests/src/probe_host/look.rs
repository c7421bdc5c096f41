//! Whether the walls are what was asked for: all but those left out, and no less left
//! out either. A matrix of ablations is worth nothing if a layer was there after all.

use gm_protocol::message::Report;
use gm_protocol::plan::INNER_ID;
use gm_sandbox_runner::apart::{Layer, Without};

use super::command::Request;

/// The number of the descriptor that is left open.
const LEAKED: u64 = 1 << 9;

/// Compares what the process says of itself, and what /proc says of it.
pub(super) fn compare(request: &Request, report: &Report, pid: i32) -> Result<(), String> {
    from_inside(request, report)?;
    from_outside(request, pid)?;
    let limits = read(pid, "limits")?;
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files = files.and_then(|line| line.split_whitespace().nth(3));
    let raised = request
        .changes
        .iter()
        .any(|c| c.to_string().contains("Max open files"));
    if !raised {
        same(Layer::Rlimits, request.without, files == Some("64"))?;
    }
    Ok(())
}

fn from_inside(request: &Request, report: &Report) -> Result<(), String> {
    let without = request.without;
    same(Layer::Caps, without, report.caps == 0)?;
    same(Layer::Seccomp, without, report.soft_refused)?;
    same(Layer::Landlock, without, report.root_refused)?;
    same(Layer::User, without, report.uids == [INNER_ID; 3])?;
    same(Layer::Descriptors, without, report.fds & LEAKED == 0)?;
    // 0 to 2, the three that an engine may have, and the one that is left open.
    let known = 0b11_1111 | LEAKED;
    if report.fds & !known != 0 || !report.no_new_privs || report.dumpable {
        return Err(format!(
            "a wall that can't be left out is missing: {report:?}"
        ));
    }
    Ok(())
}

fn from_outside(request: &Request, pid: i32) -> Result<(), String> {
    let without = request.without;
    let kinds = [
        (Layer::User, "user"),
        (Layer::Pid, "pid"),
        (Layer::Net, "net"),
        (Layer::Ipc, "ipc"),
        (Layer::Uts, "uts"),
    ];
    let shares = request.profile.engine().shares_network();
    for (layer, kind) in kinds {
        if layer == Layer::Net && shares {
            continue;
        }
        same(layer, without, namespace(pid, kind)? != own(kind)?)?;
    }
    if namespace(pid, "mnt")? == own("mnt")? {
        return Err("it is in our mount namespace".into());
    }
    let root = std::fs::read_dir(format!("/proc/{pid}/root/proc")).is_err();
    same(Layer::Mount, without, root)?;
    let status = read(pid, "status")?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid = uid.and_then(|ids| ids.split_whitespace().next());
    same(Layer::Uid, without, uid != Some("0"))?;
    let groups = read(pid, "cgroup")?;
    same(Layer::Cgroup, without, groups.contains("/gm-"))
}

/// That the layer is up exactly if it isn't left out.
fn same(layer: Layer, without: Without, up: bool) -> Result<(), String> {
    if up != without.has(layer) {
        return Ok(());
    }
    let is = if up { "up" } else { "not up" };
    Err(format!("{} is {is}", layer.as_str()))
}

fn read(pid: i32, file: &str) -> Result<String, String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|e| format!("{file}: {e}"))
}

fn namespace(pid: i32, kind: &str) -> Result<std::path::PathBuf, String> {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).map_err(|e| format!("{kind}: {e}"))
}

fn own(kind: &str) -> Result<std::path::PathBuf, String> {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).map_err(|e| format!("{kind}: {e}"))
}
