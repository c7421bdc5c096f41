//! The trust rules, each by what it refuses and with what code.
//!
//! All keys are made here, while the test runs; nothing secret lies in a file.

mod certificates;
mod form;
mod gnupg;
mod hostile;
mod keys;
mod made;
mod memory;
mod signatures;
mod subkeys;
mod tampering;
mod textbook;
