//! The plan of one walled process as plain data: what gm-policy derives, the
//! launcher and the runner put up, and the broker reads back.
//!
//! Only values: no parser, no proof and no system call lives here.

use std::net::{IpAddr, SocketAddr};

use bincode::{Decode, Encode};

/// Names engine, compiler and settings of the artifacts that `gm-run-wasm`
/// loads. Part of the artifact cache's key: an artifact of another engine is
/// never loaded.
pub const ENGINE_ID: &str = "wasmer-7.4.2/cranelift-0.135.0/elf/x86-64-v2/gm-2";

/// The link to the broker, in every walled process.
pub const FD_LINK: i32 = 3;
/// In the compile process: the module to compile, sealed.
pub const FD_MODULE: i32 = 4;
/// In a runner of scripts: the entrypoint's text, sealed. In `gm-init`: the
/// executable, in a file that has no name any more.
pub const FD_CODE: i32 = 4;
/// In the compile process: the memfd of the broker that takes the artifact.
pub const FD_OUTPUT: i32 = 5;
/// In a runner with assets: one sealed memfd that holds them all.
pub const FD_ASSETS: i32 = 5;
/// The user and group id of a plugin inside its user namespace.
pub const INNER_ID: u32 = 1000;
/// The host name inside the UTS namespace.
pub const HOSTNAME: &str = "plugin";
/// Where the verified code lies in the plugin's mount tree.
pub const CODE_PATH: &str = "/code";
/// Where our own warm-up artifact lies in the plugin's mount tree.
pub const WARM_PATH: &str = "/warm";
/// Where `$DATA` lies in the plugin's mount tree.
pub const DATA_PATH: &str = "/data";
/// Where machine code has the files of its package.
pub const ASSETS_PATH: &str = "/assets";
/// Where `gm-run-native` has its loader and libraries.
pub const LIBRARY_PATH: &str = "/lib64";
/// The files of [`LIBRARY_PATH`]: the ELF interpreter first, then the C library's
/// family. (`libpthread` and `libdl` are empty in newer ones, but still named.)
pub const LIBRARIES: [&str; 6] = [
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
];
/// The one descriptor that a program can be executed from. Its process lowers its
/// limit of descriptors to this number before, so that there is no second one.
pub const FD_EXEC: i32 = 63;
/// The most processes of machine code.
pub const NATIVE_PIDS: u32 = 16;
/// Granted files and directories lie below it, numbered from 0.
pub const GRANT_PATH: &str = "/grant";
/// The most granted files and directories of a plugin.
pub const MAX_GRANTS: usize = 32;
/// The most directories that no grant may show ([`crate::plan::Place::Grant`]).
pub const MAX_HIDDEN: usize = 8;
/// Most files and directories in `$DATA`.
pub const DATA_INODES: u32 = 4096;
/// The newest Landlock ABI whose rights a walled process knows by name; on a
/// newer kernel it handles these.
pub const LANDLOCK_NEWEST: u32 = 10;
/// Part of a script's memory limit that the engine needs for itself, in bytes.
pub const SCRIPT_RESERVE: u64 = 2 << 20;
/// Part of the memory limit that a runner of machine code needs for itself, in
/// bytes, besides the copies of the code and of the package's files.
pub const NATIVE_RESERVE: u64 = 1 << 20;
/// Part of a WASM plugin's memory limit that the engine needs for itself, in
/// bytes, besides 1.25 times the artifact (its copy is charged to the plugin).
pub const WASM_RESERVE: u64 = 8 << 20;

plain! {
    /// Which binary a walled process executes.
    pub enum Engine {
        /// `gm-run-wasm`: runs a WASM plugin from its compiled artifact.
        Wasm = "wasm",
        /// `gm-compile-wasm`: checks and compiles one module, then ends.
        CompileWasm = "compile",
        /// `gm-run-lua`: runs a Luau script.
        Lua = "lua",
        /// `gm-run-js`: runs a JavaScript module.
        Js = "js",
        /// `gm-http`: makes one plugin's requests.
        Http = "http",
        /// `gm-run-native`: runs a shared object.
        Native = "native",
        /// `gm-init`: runs a static executable and speaks for it.
        Program = "program",
    }
}

impl Engine {
    /// Whether it runs a plugin's code.
    #[must_use]
    pub const fn runs_plugin(self) -> bool {
        matches!(
            self,
            Self::Wasm | Self::Lua | Self::Js | Self::Native | Self::Program
        )
    }

    /// Whether it serves until it is told to stop, and is looked at a second time
    /// when its last filter is up; the others do one thing and end.
    #[must_use]
    pub const fn stays(self) -> bool {
        !matches!(self, Self::CompileWasm)
    }

    /// Whether it is in the host's network namespace: the one exception. Every
    /// other process has an empty one of its own.
    #[must_use]
    pub const fn shares_network(self) -> bool {
        matches!(self, Self::Http)
    }

    /// Whether the code lies in the process's mount tree, at [`CODE_PATH`]; else
    /// it comes as descriptor [`FD_CODE`] and is closed before it runs.
    #[must_use]
    pub const fn has_code_file(self) -> bool {
        matches!(self, Self::Wasm | Self::Native)
    }

    /// Whether what it loads is made by our own compiler; else it is a file of
    /// the package as it is.
    #[must_use]
    pub const fn loads_artifact(self) -> bool {
        matches!(self, Self::Wasm)
    }

    /// Whether it runs machine code of a stranger's, which has its package's
    /// files in its mount tree.
    #[must_use]
    pub const fn is_machine_code(self) -> bool {
        matches!(self, Self::Native | Self::Program)
    }

    /// Whether the code is an executable, which it starts once, from a descriptor, and
    /// speaks for: a process of its own, with its own standard streams.
    #[must_use]
    pub const fn starts_program(self) -> bool {
        matches!(self, Self::Program)
    }

    /// Whether it is linked dynamically: its mount tree has [`LIBRARIES`].
    #[must_use]
    pub const fn has_libraries(self) -> bool {
        matches!(self, Self::Native)
    }

    /// How the paths of a package's files end that are its modules, beside its
    /// entrypoint: where code may ask for code.
    #[must_use]
    pub const fn module_endings(self) -> &'static [&'static str] {
        match self {
            Self::Lua => &[".lua", ".luau"],
            Self::Js => &[".js"],
            Self::Wasm | Self::CompileWasm | Self::Http | Self::Native | Self::Program => &[],
        }
    }

    /// The most processes and threads that it may have.
    #[must_use]
    pub const fn most_pids(self) -> u32 {
        match self {
            Self::Wasm | Self::Lua | Self::Js | Self::Http => 1,
            Self::CompileWasm => 8,
            Self::Native | Self::Program => NATIVE_PIDS,
        }
    }

    /// The descriptors that it may hold besides 0 to 2 until its code is loaded.
    #[must_use]
    pub const fn descriptors(self) -> &'static [i32] {
        match self {
            Self::Wasm | Self::Native => &[FD_LINK, FD_ASSETS],
            Self::Lua | Self::Js | Self::Program => &[FD_LINK, FD_CODE, FD_ASSETS],
            Self::CompileWasm => &[FD_LINK, FD_MODULE, FD_OUTPUT],
            Self::Http => &[FD_LINK],
        }
    }
}

plain! {
    /// How a WASM module and its host speak with each other.
    pub enum Abi {
        /// Our own: module `gm`.
        Gm2 = "gm-2",
        /// Extism's: module `extism:host/env`.
        Extism1 = "extism-1",
    }
}

plain! {
    /// A wall that must hold, as `wall/CONTROL` names it.
    pub enum Control {
        /// User namespace.
        UserNs = "user-ns",
        /// Process id namespace.
        PidNs = "pid-ns",
        /// Mount namespace.
        MountNs = "mount-ns",
        /// Network namespace.
        NetNs = "net-ns",
        /// System V and POSIX IPC namespace.
        IpcNs = "ipc-ns",
        /// Host name namespace.
        UtsNs = "uts-ns",
        /// A host uid of the plugin's own.
        Uid = "uid",
        /// No capability and no_new_privs.
        Caps = "caps",
        /// The cgroup's memory limit.
        CgroupMemory = "cgroup-memory",
        /// The cgroup's process limit.
        CgroupPids = "cgroup-pids",
        /// The cgroup's cpu limit.
        CgroupCpu = "cgroup-cpu",
        /// Landlock, all rights of the kernel's ABI handled.
        Landlock = "landlock",
        /// All seccomp layers.
        Seccomp = "seccomp",
        /// The mount tree, exactly.
        Mounts = "mounts",
        /// The descriptors, exactly; also resource limits.
        Descriptors = "descriptors",
    }
}

plain! {
    /// How strong the isolation of a process is.
    pub enum Level {
        /// Landlock, seccomp, no capabilities, resource limits.
        L2 = "L2",
        /// L2 and all namespaces and a host uid that isn't 0.
        L3 = "L3",
        /// L3 and a uid of its own and cgroup memory, pids and cpu.
        L4 = "L4",
    }
}

plain! {
    /// What the host calls in a plugin.
    pub enum Hook {
        /// Once, before any event.
        Init = "init",
        /// A commit was analysed.
        OnCommitAnalyzed = "on_commit_analyzed",
        /// Another plugin created an edge.
        OnEdgeCreated = "on_edge_created",
        /// Another plugin read a node.
        OnNodeAccessed = "on_node_accessed",
        /// Another plugin changed a node.
        OnNodeUpdated = "on_node_updated",
        /// Another plugin queried the graph.
        OnGraphQuery = "on_graph_query",
        /// Somebody typed one of the manifest's commands.
        Command = "gm_command",
        /// Once, after the last event.
        Shutdown = "shutdown",
    }
}

plain! {
    /// A host call that crosses the link. (`reply`, `fail`, `result` and
    /// `asset_read` are answered inside the runner.)
    pub enum HostOp {
        /// One line for the plugin's log.
        Log = "log",
        /// A configuration value.
        ConfigGet = "config_get",
        /// A node of the graph.
        NodeGet = "node_get",
        /// Puts one node or a list.
        NodePut = "node_put",
        /// Queries nodes.
        NodeQuery = "node_query",
        /// An edge of the graph.
        EdgeGet = "edge_get",
        /// Puts one edge or a list.
        EdgePut = "edge_put",
        /// Queries edges.
        EdgeQuery = "edge_query",
        /// Emits a record.
        EventEmit = "event_emit",
        /// Reads a file. Answered inside the runner where a file grant covers
        /// the path; what comes to the host is outside of every grant.
        FileRead = "file_read",
        /// Lists a directory; as with [`Self::FileRead`].
        FileList = "file_list",
        /// Writes a file of `$DATA`; as with [`Self::FileRead`].
        FileWrite = "file_write",
        /// A value of the plugin's own storage.
        StorageGet = "storage_get",
        /// The keys of its storage that begin with a prefix.
        StorageList = "storage_list",
        /// Puts a value into its storage.
        StorageSet = "storage_set",
        /// Takes a value out of it.
        StorageDelete = "storage_delete",
        /// Makes a request to a granted host.
        HttpRequest = "http_request",
    }
}

/// What a call about files needs in the manifest; no permission of `host_api`.
pub const FILESYSTEM: &str = "filesystem";
/// What a call about storage needs in the manifest; no permission of `host_api`.
pub const STORAGE: &str = "storage";
/// What a request needs in the manifest; no permission of `host_api`.
pub const NETWORK: &str = "network";

impl HostOp {
    /// The manifest's `host_api` permission, or key of `[permissions]`, without
    /// which a module that imports this call is refused.
    #[must_use]
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Log => "log:write",
            Self::ConfigGet => "config:read",
            Self::NodeGet | Self::NodeQuery => "nodes:read",
            Self::NodePut => "nodes:write",
            Self::EdgeGet | Self::EdgeQuery => "edges:read",
            Self::EdgePut => "edges:write",
            Self::EventEmit => "events:emit",
            Self::FileRead | Self::FileList | Self::FileWrite => FILESYSTEM,
            Self::StorageGet | Self::StorageList | Self::StorageSet | Self::StorageDelete => {
                STORAGE
            }
            Self::HttpRequest => NETWORK,
        }
    }

    /// Whether it is about files.
    #[must_use]
    pub const fn is_file(self) -> bool {
        matches!(self, Self::FileRead | Self::FileList | Self::FileWrite)
    }

    /// Whether it is about the plugin's own storage.
    #[must_use]
    pub const fn is_storage(self) -> bool {
        matches!(
            self,
            Self::StorageGet | Self::StorageList | Self::StorageSet | Self::StorageDelete
        )
    }
}

/// A set of [`HostOp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct HostOps(u32);

impl HostOps {
    /// The set of nothing.
    pub const NONE: Self = Self(0);

    /// This set and `op`.
    #[must_use]
    pub const fn with(self, op: HostOp) -> Self {
        Self(self.0 | 1 << op as u32)
    }

    /// Whether `op` is in the set.
    #[must_use]
    pub const fn has(self, op: HostOp) -> bool {
        self.0 & (1 << op as u32) != 0
    }
}

plain! {
    /// One instruction of classic BPF, as in `struct sock_filter` of
    /// linux/filter.h.
    pub struct SockFilter {
        /// Operation.
        pub code: u16,
        /// Jump if true.
        pub jt: u8,
        /// Jump if false.
        pub jf: u8,
        /// Operand.
        pub k: u32,
    }
}

plain! {
    /// The four seccomp programs of a process. Index and order of
    /// installation: soft (0), veto (3), loading (1), running (2).
    pub struct Filters {
        /// Layer 0: calls that a libc tries and can live without get an errno.
        pub soft: Vec<SockFilter>,
        /// Layer 1: what the loader needs.
        pub loading: Vec<SockFilter>,
        /// Layer 2: what the running plugin needs; installed last.
        pub running: Vec<SockFilter>,
        /// Layer 3: what kills at once, unreported.
        pub veto: Vec<SockFilter>,
    }
}

/// A place in the plugin's own mount tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cfg_attr(feature = "orders", derive(serde::Serialize, serde::Deserialize))]
pub enum Place {
    /// The verified code: [`CODE_PATH`].
    Code,
    /// What the plugin may write, empty at each start: [`DATA_PATH`].
    Data,
    /// A granted file or directory, below [`GRANT_PATH`].
    Grant(u8),
    /// The files of the package, where machine code has them: [`ASSETS_PATH`].
    Assets,
    /// The executable, which has no path: descriptor [`FD_CODE`].
    Executable,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code => f.write_str(CODE_PATH),
            Self::Data => f.write_str(DATA_PATH),
            Self::Grant(number) => write!(f, "{GRANT_PATH}/{number}"),
            Self::Assets => f.write_str(ASSETS_PATH),
            Self::Executable => write!(f, "descriptor {FD_CODE}"),
        }
    }
}

plain! {
    /// One Landlock rule: what may be done beneath a path.
    pub struct LandlockRule {
        /// The path.
        pub path: Place,
        /// `LANDLOCK_ACCESS_FS_*` bits of linux/landlock.h.
        pub rights: u64,
    }
}

plain! {
    /// Limits that the launcher puts round a process.
    pub struct Limits {
        /// The cgroup's memory limit in bytes: engine, heap, page tables, tmpfs.
        pub memory_bytes: u64,
        /// Most processes and threads.
        pub pids: u32,
        /// Share of one core, in percent.
        pub cpu_percent: u32,
        /// RLIMIT_FSIZE in bytes: the compile process's output cap; for a plugin
        /// the size of its `$DATA`, 0 = it has none.
        pub file_bytes: u64,
        /// RLIMIT_CPU in seconds for a one-shot process; 0 = none.
        pub cpu_seconds: u64,
    }
}

plain! {
    /// A file of the package inside the assets' memfd.
    pub struct Asset {
        /// Package path.
        pub path: String,
        /// First byte.
        pub offset: u64,
        /// Length in bytes.
        pub len: u64,
    }
}

plain! {
    /// A granted path: what the plugin calls it, and where it lies for it.
    pub struct FileGrant {
        /// As the manifest writes it, such as `$REPO/docs`.
        pub prefix: String,
        /// Number below [`GRANT_PATH`]; none = [`DATA_PATH`].
        pub number: Option<u8>,
        /// A directory: what lies below it is granted too.
        pub directory: bool,
        /// It may be written.
        pub writable: bool,
    }
}

impl FileGrant {
    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> Place {
        self.number.map_or(Place::Data, Place::Grant)
    }
}

/// What the runner of a plugin is told besides its walls.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PluginSetup {
    /// Most bytes that the engine gives the plugin: of linear memory and tables,
    /// or of a script's heap.
    pub memory_bytes: u64,
    /// Package path of the code: how errors name a script.
    pub entrypoint: String,
    /// What a WASM module speaks; of no meaning to other engines.
    pub abi: Abi,
    /// Host calls that the grant gives.
    pub host_ops: HostOps,
    /// Hooks of the manifest, and [`Hook::Command`] if it names commands; `init`
    /// and `shutdown` are called if exported.
    pub hooks: Vec<Hook>,
    /// Most bytes of a reply, a host call's argument or its result.
    pub body_bytes: u32,
    /// Files of the package.
    pub assets: Vec<Asset>,
    /// Granted paths.
    pub grants: Vec<FileGrant>,
    /// Wall clock of one call in milliseconds. The host ends what takes longer;
    /// an engine that can look at the clock does so only behind that.
    pub time_ms: u32,
}

/// What the compile process is told besides its walls.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CompileSetup {
    /// What the module speaks.
    pub abi: Abi,
    /// Host calls that the grant gives: the only imports that are accepted,
    /// besides those which need no permission.
    pub host_ops: HostOps,
    /// Hooks that the manifest lists, and [`Hook::Command`] if it names commands;
    /// each must be exported.
    pub hooks: Vec<Hook>,
    /// Commands that the manifest lists: under `extism-1` each is an export, unless
    /// one takes them all.
    pub commands: Vec<String>,
    /// Most bytes of the artifact.
    pub output_bytes: u64,
}

/// A host that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ReachHost {
    /// Lower-case ASCII: a name, `*.` and the name above, or an IPv4 address.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

/// Whom a process may ask.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Reach {
    /// Any public host, on any port.
    Public,
    /// These alone.
    Hosts(Vec<ReachHost>),
}

/// A name whose address the host knows by itself, as of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KnownHost {
    /// Lower-case ASCII.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
}

/// What the process that makes requests is told besides its walls.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HttpSetup {
    /// Whom it may ask.
    pub reach: Reach,
    /// Addresses that may be asked although they are not public.
    pub allow_private: Vec<SocketAddr>,
    /// Who is asked for addresses, in this order.
    pub nameservers: Vec<SocketAddr>,
    /// Names that nobody is asked for.
    pub known: Vec<KnownHost>,
    /// Most bytes of a response's body.
    pub body_bytes: u32,
    /// Most bytes of a request's document or of its answer.
    pub document_bytes: u32,
    /// Most redirects of one request.
    pub redirects: u32,
}

impl HttpSetup {
    /// TCP ports that it may connect to, ascending; none = all of them. Among
    /// them are those of the nameservers, since an answer may be too long for a
    /// datagram.
    #[must_use]
    pub fn ports(&self) -> Option<Vec<u16>> {
        let Reach::Hosts(hosts) = &self.reach else {
            return None;
        };
        let hosts = hosts.iter().map(|host| host.port);
        let mut ports: Vec<u16> = hosts
            .chain(self.nameservers.iter().map(SocketAddr::port))
            .collect();
        ports.sort_unstable();
        ports.dedup();
        Some(ports)
    }
}

/// What one kind of engine is told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Role {
    /// For a runner of plugins.
    Plugin(PluginSetup),
    /// For `gm-compile-wasm`.
    Compile(CompileSetup),
    /// For `gm-http`.
    Http(HttpSetup),
}

/// The first frame of the broker: the walls that the process puts round
/// itself, and its task.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Setup {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// Seccomp programs, proved equal to their profile.
    pub filters: Filters,
    /// The Landlock ABI that the plan was made for; the process refuses to go
    /// on where the kernel offers less.
    pub landlock_abi: u32,
    /// Landlock rules; all rights of the ABI are handled, so that what no
    /// rule names is denied.
    pub landlock: Vec<LandlockRule>,
    /// The task.
    pub role: Role,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_values() {
        for hook in Hook::ALL {
            assert_eq!(Hook::from_name(hook.as_str()), Some(*hook));
        }
        assert_eq!(Control::from_name("seccomp"), Some(Control::Seccomp));
        assert_eq!(Control::from_name("secomp"), None);
    }

    #[test]
    fn a_set_of_host_calls_holds_what_was_put_in() {
        let set = HostOps::NONE.with(HostOp::Log).with(HostOp::EdgePut);
        assert!(set.has(HostOp::Log) && set.has(HostOp::EdgePut));
        assert!(!set.has(HostOp::NodePut));
    }

    #[test]
    fn ports_are_those_of_hosts_and_nameservers_or_all_of_them() {
        let host = |name: &str, port| ReachHost {
            name: name.to_owned(),
            port,
        };
        let mut setup = HttpSetup {
            reach: Reach::Hosts(vec![host("b", 443), host("a", 80), host("c", 443)]),
            allow_private: vec![],
            nameservers: vec![SocketAddr::from(([127, 0, 0, 53], 53))],
            known: vec![],
            body_bytes: 0,
            document_bytes: 0,
            redirects: 0,
        };
        assert_eq!(setup.ports(), Some(vec![53, 80, 443]));
        setup.reach = Reach::Public;
        assert_eq!(setup.ports(), None);
    }
}
