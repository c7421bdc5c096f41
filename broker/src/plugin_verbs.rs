//! plugin_verbs.
