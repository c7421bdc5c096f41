//! `gm plugin schema`: the manifest's JSON Schema; needs no home.

use gm_manifest::{Code, Refusal, SCHEMA};
use serde_json::Value;

use crate::output::Output;

pub(super) fn run(output: &mut Output) -> Result<u8, Refusal> {
    let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| {
        Refusal::new(
            Code::InternalPanic,
            format!("the schema is no JSON: {error}"),
        )
    })?;
    output.line(SCHEMA.trim_end());
    output.record(&schema);
    Ok(output.done("plugin schema", []))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn schema_is_one_document_for_people_and_the_first_line_for_programs() {
        let (mut output, seen) = Output::captured(Format::Human);
        assert_eq!(run(&mut output), Ok(0));
        let shown: Value = serde_json::from_str(&seen.out.text()).unwrap();
        let (mut output, seen) = Output::captured(Format::Json);
        assert_eq!(run(&mut output), Ok(0));
        let text = seen.out.text();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0], shown);
        assert_eq!(
            shown["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
        assert_eq!((lines.len(), &lines[1]["exit"]), (2, &Value::from(0)));
    }
}
