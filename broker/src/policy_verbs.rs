//! policy_verbs.
