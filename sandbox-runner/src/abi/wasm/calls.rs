//! A table of functions that modules import: names and types.

/// Makes `Call`, one of the functions, of lines `Name = "name" (TAKES) (GIVES);`. It
/// tells its name where that is asked for.
macro_rules! calls {
    (named if $named:meta; $(#[$doc:meta])* Call;
     $($name:ident = $text:literal ($($takes:ident)*) ($($gives:ident)*);)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Call { $($name),* }

        impl Call {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The function of a name.
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name.
            #[$named]
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Its type.
            pub(crate) const fn ty(self) -> super::Type {
                match self {
                    $(Self::$name => super::Type {
                        takes: &[$($takes),*],
                        gives: &[$($gives),*],
                    },)*
                }
            }
        }
    };
}
