//! `[[plugin.command]]`: what is read, and what is refused at which line.

use super::*;

#[test]
fn commands_are_read_in_the_order_of_the_manifest() {
    let text = asking(
        "[[plugin.command]]\nname = \"suggest\"\ndescription = \"What to test\"\n\
         [[plugin.command]]\nname = \"a1-b\"",
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let read = manifest.commands().iter();
    let read: Vec<_> = read
        .map(|command| (command.name.as_str(), command.description.as_str()))
        .collect();
    assert_eq!(read, [("suggest", "What to test"), ("a1-b", "")]);
    let inline = with_line(13, "command = [{ name = \"suggest\" }]");
    let manifest = Manifest::parse(inline.as_bytes()).unwrap();
    assert_eq!(manifest.commands().len(), 1);
    let none = Manifest::parse(HELLO.as_bytes()).unwrap();
    assert!(none.commands().is_empty());
}

#[test]
fn commands_that_are_doubled_nameless_or_badly_named_are_refused() {
    let command = |lines: &str| asking(&format!("[[plugin.command]]\n{lines}"));
    let long = format!("name = \"x\"\ndescription = \"{}\"", "x".repeat(257));
    for (text, code, line) in [
        (command("name = \"X\""), "bad-value", 17),
        (command("name = 1"), "bad-value", 17),
        (command("description = \"x\""), "missing-key", 16),
        (command("name = \"x\"\ndescription = 1"), "bad-value", 18),
        (command(&long), "bad-value", 18),
        (
            command("name = \"x\"\n[[plugin.command]]\nname = \"x\""),
            "bad-value",
            19,
        ),
        (with_line(13, "command = \"x\""), "bad-value", 13),
        (with_line(13, "command = [\"x\"]"), "bad-value", 13),
    ] {
        let code = format!("manifest/{code}");
        assert_eq!(refused(&text), (&*code, Some(line)), "{text}");
    }
    let many = |count: usize| {
        let command = |n| format!("[[plugin.command]]\nname = \"c{n}\"\n");
        asking(&(0..count).map(command).collect::<String>())
    };
    assert!(Manifest::parse(many(32).as_bytes()).is_ok());
    assert_eq!(refused(&many(33)).0, "manifest/bad-value");
}
