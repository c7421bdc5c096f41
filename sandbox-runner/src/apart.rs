//! The product's own walls, one by one, so that a test can leave one out and see
//! what then stops an attack.
//!
//! Only behind the feature `apart`, which no installed binary has: those have no
//! switch for this. The steps are the product's functions; what is here is the
//! second list of them, in the same order.

mod change;

pub use change::{Change, Changes, MountFlag};

macro_rules! layers {
    ($($(#[$meta:meta])* $name:ident = $text:literal,)*) => {
        /// A layer of the walls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Layer { $($(#[$meta])* $name),* }

        impl Layer {
            /// Every layer.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As on command lines.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

layers! {
    /// All four filters.
    Seccomp = "seccomp",
    /// The rule set.
    Landlock = "landlock",
    /// The own tree: left out, the host's is seen.
    Mount = "mount",
    /// The pid namespace.
    Pid = "pid",
    /// The network namespace.
    Net = "net",
    /// The namespace of System V's and POSIX's queues.
    Ipc = "ipc",
    /// The namespace of the host's name.
    Uts = "uts",
    /// The user namespace: left out, the process has its uid on the host itself.
    User = "user",
    /// The uid: left out, it is the host's 0.
    Uid = "uid",
    /// The groups and their limits.
    Cgroup = "cgroup",
    /// The resource limits.
    Rlimits = "rlimits",
    /// The dropped capabilities.
    Caps = "caps",
    /// The closed descriptors: left out, the host's root directory is open.
    Descriptors = "descriptors",
}

impl Layer {
    /// The layer of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|layer| layer.as_str() == name)
    }
}

/// Layers that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Without(u16);

/// Pairs that may not go together: a probe would be the machine's root, or nothing
/// would be left that ends it.
const TOGETHER: [(Layer, Layer); 6] = [
    (Layer::User, Layer::Uid),
    (Layer::User, Layer::Caps),
    (Layer::Uid, Layer::Caps),
    (Layer::Uid, Layer::Mount),
    (Layer::Pid, Layer::Cgroup),
    (Layer::Cgroup, Layer::Rlimits),
];

impl Without {
    /// Nothing is left out.
    pub const NOTHING: Self = Self(0);

    /// These are.
    ///
    /// # Errors
    /// Two that may not be left out together.
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Result<Self, (Layer, Layer)> {
        let bits = layers.into_iter().fold(0, |bits, layer| bits | bit(layer));
        let without = Self(bits);
        let both = |pair: &(Layer, Layer)| without.has(pair.0) && without.has(pair.1);
        match TOGETHER.into_iter().find(both) {
            Some(pair) => Err(pair),
            None => Ok(without),
        }
    }

    /// Whether this one is.
    #[must_use]
    pub const fn has(self, layer: Layer) -> bool {
        self.0 & bit(layer) != 0
    }

    /// All that are.
    pub fn layers(self) -> impl Iterator<Item = Layer> {
        let all = Layer::ALL.iter().copied();
        all.filter(move |layer| self.has(*layer))
    }
}

const fn bit(layer: Layer) -> u16 {
    1 << layer as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_comes_back_by_its_name() {
        for layer in Layer::ALL {
            assert_eq!(Layer::from_name(layer.as_str()), Some(*layer));
        }
        assert_eq!(Layer::from_name("secomp"), None);
    }

    #[test]
    fn nothing_is_left_out_by_which_a_probe_would_be_root_or_could_not_be_ended() {
        assert_eq!(
            Without::of([Layer::User, Layer::Caps]),
            Err((Layer::User, Layer::Caps))
        );
        assert_eq!(
            Without::of([Layer::Cgroup, Layer::Pid]),
            Err((Layer::Pid, Layer::Cgroup))
        );
        let without = Without::of([Layer::Net, Layer::Seccomp]).unwrap();
        assert!(without.has(Layer::Net) && !without.has(Layer::Pid));
        assert_eq!(without.layers().count(), 2);
    }
}
