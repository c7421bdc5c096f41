//! Plans of whole manifests: the golden ones, and what holds of all of them.
#![cfg(target_arch = "x86_64")]

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod shown;
