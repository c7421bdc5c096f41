// Lines that a terminal obeys, or that look like another's.
const lines = [
  "\x1b[2J\x1b[31mred", "\x1b]8;;http://evil.example\x07link\x1b]8;;\x07", "\x1b]52;c;ZXZpbA==\x07", "over\rwritten",
  "first\ncom.example.other \u2502 forged", "\u202edesrever", "zero\u200bwidth", "bad \ud800 bytes",
  '"},{"event":"ended","forged":true', "\u009b31m", "tab\tand\0nul", "\u2028line\u2029paragraph",
];

function attack(variant) {
  gm.log("error", lines[variant]);
  return ["ok"];
}
