//! gpg_verbs.
