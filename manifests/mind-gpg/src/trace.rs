//! What verification did, step by step, for people who want to see it.

use gm_manifest::{Code, Refusal};
use serde::Serialize;

/// One step of verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its number; `None` for the look at revocations, which stands between 5 and 6.
    pub step: Option<u8>,
    /// What it looks at.
    pub name: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// Why not.
    pub code: Option<Code>,
}

/// All steps that were taken; the first that failed is the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

impl Verification {
    /// Writes down how a step ended, and puts its number into the refusal.
    pub(crate) fn step<T>(
        &mut self,
        step: impl Into<Option<u8>>,
        name: &'static str,
        result: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let step = step.into();
        let code = result.as_ref().err().map(|refusal| refusal.code);
        self.steps.push(Step {
            step,
            name,
            ok: code.is_none(),
            code,
        });
        result.map_err(|refusal| match step {
            Some(step) => refusal.step(step),
            None => refusal,
        })
    }
}

impl Verification {
    /// The first part of a step: written down only if the step ends here.
    pub(crate) fn part<T>(
        &mut self,
        step: u8,
        name: &'static str,
        result: Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match result {
            Ok(part) => Ok(part),
            Err(refusal) => self.step(step, name, Err(refusal)),
        }
    }
}

/// Runs what reads hostile packets: a panic in there is a refusal, and the broker
/// lives on.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    // What the closure borrowed is dropped or only read after a panic: nothing
    // half-changed is used again.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Refusal::new(
            Code::InternalPanic,
            "reading the signature or certificate failed",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_refusal() {
        let refusal = guarded(|| -> Result<(), Refusal> { panic!("deep inside") }).unwrap_err();
        assert_eq!((refusal.code, refusal.exit()), (Code::InternalPanic, 70));
    }

    #[test]
    fn the_failing_step_is_the_last_one_and_is_in_the_refusal() {
        let mut trace = Verification::default();
        trace.step(0, "first", Ok(())).unwrap();
        let refusal = trace
            .step::<()>(1, "second", Err(Refusal::new(Code::SignatureNotOne, "")))
            .unwrap_err();
        assert_eq!(refusal.step, Some(1));
        let codes: Vec<_> = trace
            .steps
            .iter()
            .map(|step| (step.step, step.ok, step.code))
            .collect();
        assert_eq!(
            codes,
            [
                (Some(0), true, None),
                (Some(1), false, Some(Code::SignatureNotOne))
            ]
        );
    }
}
