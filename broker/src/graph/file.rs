//! What the file of a graph is.

use crate::database::Form;
use gm_manifest::Code;

/// The form of a graph's file.
pub(super) const FORM: Form = Form {
    name: "graph",
    code: Code::SourceGraph,
    // `GMGR`
    application_id: 0x474D_4752,
    version: 1,
    tables: &[
        "CREATE TABLE edge (src TEXT NOT NULL, dst TEXT NOT NULL, kind TEXT NOT NULL, \
         weight INTEGER NOT NULL, data TEXT NOT NULL, writer TEXT NOT NULL, \
         PRIMARY KEY (src, dst, kind)) STRICT, WITHOUT ROWID",
        "CREATE TABLE node (id TEXT PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL, \
         writer TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ],
    content: "",
};

#[cfg(test)]
mod tests;
