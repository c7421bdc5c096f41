//! Twins: honest acts of the same kind of plugin, which must succeed. A wall that stops
//! everything would contain every attack.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

mod acts;

use super::table::name;
use crate::probes::Kind;

/// That a twin succeeded. Made here alone.
#[derive(Debug, Clone)]
pub struct Done {
    id: String,
    level: Option<String>,
}

impl Done {
    /// Which.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The level that its plugin ran at.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        self.level.as_deref()
    }
}

/// How a twin went: done, or what it said instead.
pub type Outcome = Result<Done, String>;

/// All twins of a run; each is done once.
#[derive(Default)]
pub struct Twins {
    done: Mutex<BTreeMap<String, Arc<OnceLock<Outcome>>>>,
}

impl Twins {
    /// Does a twin, or says how it went before. Like all helpers of tests it panics with
    /// what was expected; that is the twin's failure.
    ///
    /// # Errors
    /// What it said instead.
    pub fn outcome(&self, id: &str, kind: Kind) -> Outcome {
        let id = if id.is_empty() { "t-hello" } else { id };
        let key = format!("{id}/{}", name(&kind));
        let once = {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(done.entry(key.clone()).or_default())
        };
        let act = || {
            let acted = super::caught(|| acts::act(id, kind))?;
            acted.map(|level| Done {
                id: key.clone(),
                level,
            })
        };
        once.get_or_init(act).clone()
    }
}
