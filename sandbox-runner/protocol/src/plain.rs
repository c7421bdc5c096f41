//! Plain data, and names for it.

macro_rules! plain {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
        #[cfg_attr(feature = "orders", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
    };
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$fmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        #[cfg_attr(feature = "orders", derive(serde::Serialize, serde::Deserialize))]
        pub enum $name { $($(#[$fmeta])* $variant,)* }
        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The stable name, as manifests, records and messages write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The value of a stable name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
