//! Landlock: all rights of the plan's ABI are denied but for the plan's rules.
//!
//! Always with hard compatibility: a kernel that lacks a right is an error,
//! never a weaker rule set.

use gm_protocol::plan::{LANDLOCK_NEWEST, LandlockRule};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope,
};

use super::WallError;

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
pub(super) fn restrict(abi: u32, rules: &[LandlockRule]) -> Result<u32, WallError> {
    let abi = usize::try_from(abi)
        .ok()
        .and_then(|abi| ABIS.get(abi.checked_sub(1)?));
    let abi = *abi.ok_or(WallError::Landlock("a plan for an unknown ABI".into()))?;
    let mut ruleset = create(abi)?;
    for rule in rules {
        ruleset = allow(ruleset, rule)?;
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

fn create(abi: ABI) -> Result<RulesetCreated, WallError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))
        .map_err(refused)?;
    // Empty sets are an error of their own: older ABIs know files only.
    let (network, scope) = (AccessNet::from_all(abi), Scope::from_all(abi));
    if !network.is_empty() {
        ruleset = ruleset.handle_access(network).map_err(refused)?;
    }
    if !scope.is_empty() {
        ruleset = ruleset.scope(scope).map_err(refused)?;
    }
    ruleset.create().map_err(refused)
}

fn allow(ruleset: RulesetCreated, rule: &LandlockRule) -> Result<RulesetCreated, WallError> {
    let path = PathFd::new(rule.path.to_string()).map_err(refused)?;
    let rights = BitFlags::<AccessFs>::from_bits(rule.rights)
        .map_err(|_| WallError::Landlock("a plan with unknown rights".into()))?;
    ruleset
        .add_rule(PathBeneath::new(path, rights))
        .map_err(refused)
}

fn refused(error: impl std::error::Error) -> WallError {
    WallError::Landlock(error.to_string())
}
