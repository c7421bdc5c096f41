//! What stands round any process as lines: its calls, and their proof.

use serde_json::{Map, Value, json};

use super::Walls;
use super::lines::{Line, Stages};
use crate::compiled::Layer;
use crate::spec::{Action, ArgCond, LayerName, Op, Rule};

impl Walls {
    /// The calls of these stages, what may be done first.
    pub(super) fn rules(&self, stages: Stages) -> Vec<Line> {
        let spec = &self.spec;
        // As the kernel meets them: what a plugin may do comes first.
        let order = [
            LayerName::Running,
            LayerName::Loading,
            LayerName::Soft,
            LayerName::Veto,
        ];
        let mut lines = Vec::new();
        for name in order.into_iter().filter(|name| stages.has(*name)) {
            for (sysno, rule) in &spec.layer(name).rules {
                // A soft call passes the allow lists only to get its errno.
                let passed = rule.action == Action::Allow && spec.soft.rules.contains_key(sysno);
                if !passed {
                    lines.push(self.rule(name, sysno.number(), sysno.name(spec.arch), rule));
                }
            }
        }
        lines
    }

    fn rule(&self, layer: LayerName, nr: u32, call: &str, rule: &Rule) -> Line {
        let when: Vec<Vec<Value>> = rule
            .when
            .lists()
            .iter()
            .map(|list| list.iter().map(condition).collect())
            .collect();
        let action = match rule.action {
            Action::Errno(errno) => format!("errno {}", errno.name()),
            other => other.name().to_owned(),
        };
        let fields = json!({
            "stage": layer.name(),
            "arch": self.spec.arch.name(),
            "nr": nr,
            "call": call,
            "action": rule.action.name(),
            "errno": match rule.action { Action::Errno(errno) => Some(errno.name()), _ => None },
            "when": when,
            "cacheable": rule.action == Action::Allow && rule.when.is_always(),
        });
        let text = format!(
            "  {:<8} {call:<18} {action:<13} {}",
            layer.name(),
            condition_text(rule)
        );
        Line::because("rule", fields, &rule.because, &text)
    }

    /// The proof of each layer.
    pub(super) fn proofs(&self) -> Vec<Line> {
        let layers = self.compiled.layers().iter();
        layers.map(|layer| self.proof(layer)).collect()
    }

    fn proof(&self, layer: &Layer) -> Line {
        let theorems: Map<String, Value> = layer
            .theorems
            .iter()
            .map(|theorem| (theorem.to_string(), true.into()))
            .collect();
        let (length, exempt) = (layer.program.raw().len(), self.spec.arch.exempt());
        let asked: Vec<&str> = theorems.keys().map(String::as_str).collect();
        let text = format!(
            "proof    {:<8} equal to its rules over every input ({length} instructions, {} nodes, {} µs); {}",
            layer.name.name(),
            layer.nodes,
            layer.micros,
            asked.join(" "),
        );
        let fields = json!({
            "layer": layer.name.name(),
            "index": layer.name.index(),
            "instructions": length,
            "digest": layer.program.digest(),
            "equal": true,
            "nodes": layer.nodes,
            "micros": layer.micros,
            "exempt": exempt,
            "theorems": theorems,
        });
        Line::new("proof", fields, text)
    }
}

fn op_name(op: Op) -> &'static str {
    match op {
        Op::Eq => "eq",
        Op::Ne => "ne",
        Op::Lt => "lt",
        Op::Le => "le",
        Op::Gt => "gt",
        Op::Ge => "ge",
        Op::MaskedEq(_) => "masked_eq",
    }
}

fn condition(cond: &ArgCond) -> Value {
    let mut fields = json!({
        "arg": cond.arg(),
        "width": cond.width().bits(),
        "op": op_name(cond.op()),
        "value": cond.value(),
    });
    if let (Op::MaskedEq(mask), Value::Object(fields)) = (cond.op(), &mut fields) {
        fields.insert("mask".into(), mask.into());
    }
    fields
}

fn condition_text(rule: &Rule) -> String {
    let one = |cond: &ArgCond| {
        let (arg, value) = (cond.arg(), cond.value());
        match cond.op() {
            Op::Eq => format!("arg{arg} == {value:#x}"),
            Op::Ne => format!("arg{arg} != {value:#x}"),
            Op::Lt => format!("arg{arg} < {value:#x}"),
            Op::Le => format!("arg{arg} <= {value:#x}"),
            Op::Gt => format!("arg{arg} > {value:#x}"),
            Op::Ge => format!("arg{arg} >= {value:#x}"),
            Op::MaskedEq(mask) => format!("arg{arg} & {mask:#x} == {value:#x}"),
        }
    };
    let all = |list: &Vec<ArgCond>| list.iter().map(one).collect::<Vec<_>>().join(" and ");
    match rule.when.lists() {
        [] => "always".to_owned(),
        lists => lists.iter().map(all).collect::<Vec<_>>().join(" or "),
    }
}
