//! The plan of the process that makes a plugin's requests: it has the host's
//! network, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use gm_manifest::{HostPort, Refusal};
use gm_protocol::plan::{Engine, Filters, Limits};

use super::Walls;
use crate::effective::Effective;
use crate::network::NetGrant;
use crate::operator::{HttpRules, Operator};
use crate::profile_file::FileCalls;

/// Memory beside what a request and its response take: one megabyte was measured,
/// with a handshake.
const RESERVE: u64 = 8 << 20;
/// A document is held as it came, parsed, and as it is sent; and what grows takes
/// twice its room while it does.
const COPIES: u64 = 6;
/// The ABI of Landlock that knows TCP ports.
const TCP_ABI: u32 = 4;
/// Where nameservers are asked (RFC 1035).
pub(super) const NAMESERVER_PORT: u16 = 53;

/// The walls of `gm-http` for one plugin.
#[derive(Debug)]
pub struct HttpPlan {
    pub(super) walls: Walls,
    pub(super) grant: NetGrant,
    pub(super) rules: HttpRules,
    pub(super) limits: Limits,
}

impl HttpPlan {
    /// Its filters, proved; none where no host is granted.
    pub(super) fn derive(
        effective: &Effective,
        operator: &Operator,
    ) -> Result<Option<Self>, Refusal> {
        let Some(grant) = effective.network.clone() else {
            return Ok(None);
        };
        let rules = operator.http.clone();
        let document = operator.reply.get().saturating_add(rules.body.value.get());
        let limits = Limits {
            memory_bytes: RESERVE.saturating_add(document.saturating_mul(COPIES)),
            pids: Engine::Http.most_pids(),
            // It works for the plugin, so it gets what the plugin gets.
            cpu_percent: effective.cpu.value.get().into(),
            file_bytes: 0,
            cpu_seconds: 0,
        };
        Ok(Some(Self {
            walls: Walls::prove(Engine::Http, &FileCalls::default())?,
            grant,
            rules,
            limits,
        }))
    }

    /// Whom it may ask.
    #[must_use]
    pub fn grant(&self) -> &NetGrant {
        &self.grant
    }

    /// What holds of every request.
    #[must_use]
    pub fn rules(&self) -> &HttpRules {
        &self.rules
    }

    /// Programs for the process to install.
    #[must_use]
    pub fn filters(&self) -> Filters {
        self.walls.compiled.filters()
    }

    /// Digests of the four programs, by index.
    #[must_use]
    pub fn layers(&self) -> Vec<String> {
        self.walls.compiled.digests()
    }

    /// Calls that it may make, and the most that there may be.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        (self.walls.calls, self.walls.ceiling)
    }

    /// Limits for the launcher.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Wall clock of one request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.rules.timeout.value.get())
    }

    /// TCP ports of the granted hosts, ascending; none = all.
    #[must_use]
    pub fn ports(&self) -> Option<Vec<u16>> {
        let hosts = self.grant.hosts.as_ref()?;
        let ports: BTreeSet<u16> = hosts.iter().map(HostPort::port).collect();
        Some(ports.into_iter().collect())
    }

    /// Why a kernel with this Landlock can't hold it to its ports.
    pub(super) fn lacks(&self, landlock_abi: u32) -> Option<String> {
        let holds = landlock_abi >= TCP_ABI || self.grant.hosts.is_none();
        (!holds).then(|| {
            format!("the kernel's Landlock (ABI {landlock_abi}) knows no TCP ports; it needs ABI {TCP_ABI}")
        })
    }
}
