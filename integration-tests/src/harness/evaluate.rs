//! Asks the filters themselves, as `gm-broker policy dump` prints them: for calls that
//! no control can make on this kernel, and for the errno that a filter answers with.

use gm_policy::{Arch, Program, SeccompData, Stack, Sysno};
use gm_protocol::plan::SockFilter;
use serde_json::Value;

use super::judge::Evaluated;

const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const ERRNO: u32 = 0x0005_0000;
const ACTION: u32 = 0xffff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
/// `AUDIT_ARCH_I386`.
const I386: u32 = 0x4000_0003;

/// The filters of one plugin, as far as they could be had.
#[derive(Default)]
pub struct Filters {
    stack: Option<Stack>,
    /// Of each, in their order.
    digests: Vec<String>,
}

impl Filters {
    /// Reads the lines of `policy dump`; nothing if they aren't all there.
    #[must_use]
    pub fn read(lines: &[Value]) -> Self {
        let layers: Vec<&Value> = lines
            .iter()
            .filter(|line| line["kind"] == "layer")
            .collect();
        let programs: Option<Vec<Program>> = layers.iter().copied().map(program).collect();
        let stack = programs.filter(|programs| !programs.is_empty());
        let digests = layers.iter().filter_map(|layer| layer["digest"].as_str());
        Self {
            stack: stack.and_then(|programs| Stack::new(programs).ok()),
            digests: digests.map(str::to_owned).collect(),
        }
    }

    /// Whether a plugin was started behind these and no others, as its record says.
    #[must_use]
    pub fn are_of(&self, started: &Value) -> bool {
        let loaded = started["layers"].as_array();
        let loaded = loaded.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>());
        self.stack.is_some() && loaded.is_some_and(|loaded| loaded == self.digests)
    }

    /// Every answer that these filters have for a call, whatever its arguments.
    fn answers(&self, call: &str) -> Vec<u32> {
        let (Some(stack), Some(arch)) = (&self.stack, Arch::native()) else {
            return Vec::new();
        };
        let (arch, number) = match (call, call.parse()) {
            // i386, as int 0x80 calls: getpid, like any other of its calls.
            ("wrong-arch", _) => (I386, 20),
            (_, Ok(number)) => (arch.audit_word(), number),
            _ => match Sysno::by_name(arch, call) {
                Some(call) => (arch.audit_word(), call.number()),
                None => return Vec::new(),
            },
        };
        let inputs = stack.inputs(arch, number);
        let answer = |data: &SeccompData| stack.answer(data);
        inputs.unwrap_or_default().iter().map(answer).collect()
    }

    /// Whether they deny a call whatever its arguments are.
    #[must_use]
    pub fn deny(&self, call: &str) -> Option<Evaluated> {
        let answers = self.answers(call);
        let allowed = |answer: &u32| matches!(answer & ACTION, ALLOW | LOG);
        if answers.is_empty() || answers.iter().any(allowed) {
            return None;
        }
        let words: std::collections::BTreeSet<String> = answers
            .iter()
            .map(|answer| format!("{answer:#010x}"))
            .collect();
        let words: Vec<String> = words.into_iter().collect();
        Some(Evaluated::new(format!(
            "by evaluation: {call} is answered with {} whatever its arguments are",
            words.join(", ")
        )))
    }

    /// Whether they may answer a call with this errno.
    #[must_use]
    pub fn answers_with(&self, call: &str, said: &str) -> bool {
        let errno = match said {
            "EPERM" => 1,
            "ENOENT" => 2,
            "ENOMEM" => 12,
            "EACCES" => 13,
            "EINVAL" => 22,
            "ENOTTY" => 25,
            "ENOSYS" => 38,
            _ => return false,
        };
        self.answers(call).contains(&(ERRNO | errno))
    }

    /// Whether a call may be killed without a word.
    #[must_use]
    pub fn kill_silently(&self, call: &str) -> bool {
        self.answers(call)
            .iter()
            .any(|answer| answer & ACTION == KILL_PROCESS)
    }
}

fn program(line: &Value) -> Option<Program> {
    let instruction = |one: &Value| {
        let field = |at: usize| one.get(at)?.as_u64();
        Some(SockFilter {
            code: u16::try_from(field(0)?).ok()?,
            jt: u8::try_from(field(1)?).ok()?,
            jf: u8::try_from(field(2)?).ok()?,
            k: u32::try_from(field(3)?).ok()?,
        })
    };
    let raw: Option<Vec<SockFilter>> = line["program"]
        .as_array()?
        .iter()
        .map(instruction)
        .collect();
    Program::decode(raw?).ok()
}
