//! Why a text is not a value of some type.

/// A text was refused by the type that it was meant for; holds that type's rule.
///
/// The text itself isn't kept: whoever has it decides how it may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(&'static str);

impl Unfit {
    /// A rule of some type outside this crate.
    #[must_use]
    pub const fn new(rule: &'static str) -> Self {
        Self(rule)
    }

    /// The rule that the text breaks.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        self.0
    }
}

/// `Display`, `Serialize` and `TryFrom<String>` for a type that has `parse` and `as_str`.
macro_rules! text_type {
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_type;
