//! Code that is not loaded.

use gm_protocol::message::FromRunner;

use crate::played::Plugin;

/// Why it wasn't.
pub(crate) fn refused(mut plugin: Plugin) -> String {
    match plugin.peer.recv() {
        FromRunner::NotLoaded { text } => {
            assert_eq!(plugin.peer.ending(), (None, Some(104), None));
            text
        }
        other => panic!("{other:?} instead of a refusal"),
    }
}
