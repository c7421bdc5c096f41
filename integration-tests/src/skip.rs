//! What this machine lacks. A test that needs it fails, unless whoever runs the
//! tests said beforehand that it may be skipped.

/// The environment variable that names what may be missing, joined by commas.
pub const MAY_SKIP: &str = "GM_TEST_MAY_SKIP";

/// Whether a test may leave because `feature` is not `there`; says so.
///
/// # Panics
/// If the feature is missing and [`MAY_SKIP`] doesn't name it.
#[must_use]
pub fn lacks(feature: &str, there: bool) -> bool {
    if there {
        return false;
    }
    let named = std::env::var(MAY_SKIP).unwrap_or_default();
    assert!(
        named.split(',').any(|name| name == feature),
        "this machine lacks {feature}; {MAY_SKIP}={feature} would skip this test"
    );
    eprintln!("skipped: this machine lacks {feature}");
    true
}

/// Whether the machine is below L4, where plugins have no uid or no groups of
/// their own.
///
/// # Panics
/// As [`lacks`], for the feature `L4`.
#[must_use]
pub fn below_l4() -> bool {
    lacks("L4", crate::home::level() == "L4")
}
