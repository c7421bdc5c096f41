//! Landlock: all rights of the plan's ABI are denied but for the plan's rules.
//! Connecting is such a right too; one process alone has any of it.
//!
//! Always with hard compatibility: a kernel that lacks a right is an error,
//! never a weaker rule set.

use gm_protocol::plan::{HttpSetup, LANDLOCK_NEWEST, LandlockRule, Place, Role, Setup};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope,
};

use super::{WallError, sys};

const ABIS: [ABI; LANDLOCK_NEWEST as usize] = [
    ABI::V1,
    ABI::V2,
    ABI::V3,
    ABI::V4,
    ABI::V5,
    ABI::V6,
    ABI::V7,
    ABI::V8,
    ABI::V9,
    ABI::V10,
];

/// Restricts this thread and all it starts. Returns the kernel's ABI.
pub(super) fn restrict(setup: &Setup) -> Result<u32, WallError> {
    restrict_as(setup, |_| {})
}

/// What a rule set is about: all else is allowed.
pub(super) struct Handled {
    pub(super) files: BitFlags<AccessFs>,
    pub(super) network: BitFlags<AccessNet>,
    pub(super) scope: BitFlags<Scope>,
}

/// The same, where `change` has the last word on what is handled.
pub(super) fn restrict_as(
    setup: &Setup,
    change: impl FnOnce(&mut Handled),
) -> Result<u32, WallError> {
    let abi = usize::try_from(setup.landlock_abi)
        .ok()
        .and_then(|abi| ABIS.get(abi.checked_sub(1)?));
    let abi = *abi.ok_or(WallError::Landlock("a plan for an unknown ABI".into()))?;
    let network = Network::of(&setup.role, abi);
    let mut handled = Handled {
        files: AccessFs::from_all(abi),
        network: network.handled,
        scope: Scope::from_all(abi),
    };
    change(&mut handled);
    let mut ruleset = create(&handled)?;
    for rule in &setup.landlock {
        ruleset = allow(ruleset, rule)?;
    }
    let held = network.ports.into_iter();
    for (port, right) in held.filter(|(_, right)| handled.network.contains(*right)) {
        let port = NetPort::new(port, right);
        ruleset = ruleset.add_rule(port).map_err(refused)?;
    }
    let status = ruleset.restrict_self().map_err(refused)?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(WallError::Landlock(format!(
            "enforced only {:?}",
            status.ruleset
        )));
    }
    match status.landlock {
        LandlockStatus::Available {
            kernel_abi: Some(newer),
            ..
        } => Ok(newer.unsigned_abs()),
        LandlockStatus::Available { effective_abi, .. } => Ok(effective_abi as u32),
        other => Err(WallError::Landlock(format!("{other:?}"))),
    }
}

/// What a process may do with sockets, were there any.
struct Network {
    handled: BitFlags<AccessNet>,
    ports: Vec<(u16, AccessNet)>,
}

impl Network {
    fn of(role: &Role, abi: ABI) -> Self {
        let all = AccessNet::from_all(abi);
        match role {
            Role::Plugin(_) | Role::Compile(_) => Self {
                handled: all,
                ports: Vec::new(),
            },
            Role::Http(task) => Self::of_requests(task, all),
        }
    }

    fn of_requests(task: &HttpSetup, all: BitFlags<AccessNet>) -> Self {
        let (handled, tcp) = match task.ports() {
            Some(ports) => (all, ports),
            // Any public host, on any port: there is no rule that says "all ports",
            // and what isn't handled is allowed.
            None => (all & !BitFlags::from(AccessNet::ConnectTcp), Vec::new()),
        };
        let tcp = tcp.into_iter().map(|port| (port, AccessNet::ConnectTcp));
        // Datagrams have rights from ABI 10 on: to the nameservers alone, from a
        // port of the kernel's choice, which is what 0 stands for.
        let servers = task.nameservers.iter();
        let udp = servers.map(|server| (server.port(), AccessNet::ConnectSendUdp));
        let rules = tcp.chain(udp).chain([(0, AccessNet::BindUdp)]);
        Self {
            handled,
            ports: rules.collect(),
        }
    }
}

fn create(handled: &Handled) -> Result<RulesetCreated, WallError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(handled.files)
        .map_err(refused)?;
    // Empty sets are an error of their own: older ABIs know files only.
    if !handled.network.is_empty() {
        ruleset = ruleset.handle_access(handled.network).map_err(refused)?;
    }
    if !handled.scope.is_empty() {
        ruleset = ruleset.scope(handled.scope).map_err(refused)?;
    }
    ruleset.create().map_err(refused)
}

fn allow(ruleset: RulesetCreated, rule: &LandlockRule) -> Result<RulesetCreated, WallError> {
    let rights = BitFlags::<AccessFs>::from_bits(rule.rights)
        .map_err(|_| WallError::Landlock("a plan with unknown rights".into()))?;
    if rule.path == Place::Executable {
        // It has no path any more, but a rule is about the file itself.
        let file = sys::code().map_err(refused)?;
        return ruleset
            .add_rule(PathBeneath::new(file, rights))
            .map_err(refused);
    }
    let path = PathFd::new(rule.path.to_string()).map_err(refused)?;
    ruleset
        .add_rule(PathBeneath::new(path, rights))
        .map_err(refused)
}

fn refused(error: impl std::error::Error) -> WallError {
    WallError::Landlock(error.to_string())
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests {
    use super::*;
    use gm_protocol::plan::{Filters, Reach, ReachHost};
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

    fn setup(reach: Reach) -> Setup {
        let none = Filters {
            soft: vec![],
            loading: vec![],
            running: vec![],
            veto: vec![],
        };
        Setup {
            protocol: gm_protocol::PROTOCOL,
            filters: none,
            landlock_abi: 7,
            landlock: vec![],
            role: Role::Http(HttpSetup {
                reach,
                allow_private: vec![],
                nameservers: vec![],
                known: vec![],
                body_bytes: 0,
                document_bytes: 0,
                redirects: 0,
            }),
        }
    }

    /// What a thread with this grant gets when it connects: the kernel's word.
    fn connects(reach: Reach, to: SocketAddr) -> Result<(), ErrorKind> {
        // Landlock holds the thread that asks for it, and what it starts.
        let thread = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            restrict(&setup(reach)).unwrap();
            assert_eq!(
                std::fs::read_dir("/").unwrap_err().kind(),
                ErrorKind::PermissionDenied
            );
            let bound = TcpListener::bind("127.0.0.1:0").map(|_| ());
            assert_eq!(bound.unwrap_err().kind(), ErrorKind::PermissionDenied);
            // Not held before ABI 10; nameservers are asked this way.
            assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
            TcpStream::connect(to).map(|_| ()).map_err(|e| e.kind())
        });
        thread.join().unwrap()
    }

    #[test]
    fn only_granted_ports_can_be_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let hosts = |port| {
            let name = "a.example".to_owned();
            Reach::Hosts(vec![ReachHost { name, port }])
        };
        assert_eq!(connects(hosts(to.port()), to), Ok(()));
        let other = to.port().wrapping_add(1).max(1);
        assert_eq!(connects(hosts(other), to), Err(ErrorKind::PermissionDenied));
        let none = Reach::Hosts(vec![]);
        assert_eq!(connects(none, to), Err(ErrorKind::PermissionDenied));
        assert_eq!(connects(Reach::Public, to), Ok(()));
    }
}
