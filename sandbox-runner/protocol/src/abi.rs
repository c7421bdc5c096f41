//! The numbers of the ABI `gm-2` that stand for something, with their names: here
//! alone, for the broker and whatever runs plugins.

plain! {
    /// What a call of the host gives in place of a result.
    pub enum CallError {
        /// Outside of the grant, or another writer's record.
        Denied = "denied",
        /// There is none.
        NotFound = "not_found",
        /// Not UTF-8, not JSON, a wrong field, or a value out of range.
        Invalid = "invalid",
        /// An argument or result over its cap.
        TooBig = "too_big",
        /// No room is left.
        Quota = "quota",
        /// Over a rate, count or depth.
        Limit = "limit",
        /// A file or store failed.
        Io = "io",
        /// A request failed or was refused.
        Net = "net",
        /// A fault of the host.
        Internal = "internal",
        /// The host is ending this plugin.
        Stopping = "stopping",
    }
}

impl CallError {
    /// The number that the plugin gets.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Denied => -1,
            Self::NotFound => -2,
            Self::Invalid => -3,
            Self::TooBig => -4,
            Self::Quota => -5,
            Self::Limit => -6,
            Self::Io => -7,
            Self::Net => -8,
            Self::Internal => -9,
            Self::Stopping => -10,
        }
    }

    /// The same as a call's status.
    #[must_use]
    pub fn status(self) -> i64 {
        self.number().into()
    }

    /// What a status below 0 means; a number that nobody gives is the host's fault.
    #[must_use]
    pub fn of_status(status: i64) -> Self {
        let found = Self::ALL.iter().find(|error| error.status() == status);
        found.copied().unwrap_or(Self::Internal)
    }
}

plain! {
    /// How much a line of a log matters.
    pub enum LogLevel {
        /// Each step.
        Trace = "trace",
        /// For who looks for a fault.
        Debug = "debug",
        /// What happens.
        Info = "info",
        /// What may be wrong.
        Warn = "warn",
        /// What is wrong.
        Error = "error",
    }
}

impl LogLevel {
    /// Its number in the ABI and on the link.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Trace => 0,
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
        }
    }

    /// The level of a number, if there is one.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        let found = Self::ALL.iter().find(|level| level.number() == number);
        found.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_abi() {
        let names = [
            "denied",
            "not_found",
            "invalid",
            "too_big",
            "quota",
            "limit",
            "io",
            "net",
            "internal",
            "stopping",
        ];
        assert_eq!(CallError::ALL.len(), names.len());
        for (number, name) in (1..).zip(names) {
            let error = CallError::of_status(-number);
            assert_eq!((error.as_str(), error.status()), (name, -number));
        }
        for status in [0, 1, -11, i64::MIN] {
            assert_eq!(CallError::of_status(status), CallError::Internal);
        }
        for (number, name) in (0..).zip(["trace", "debug", "info", "warn", "error"]) {
            let level = LogLevel::of_number(number).unwrap();
            assert_eq!((level.as_str(), level.number()), (name, number));
        }
        assert_eq!(LogLevel::of_number(5), None);
    }
}
