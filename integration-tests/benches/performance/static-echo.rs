//! The floor under a walled process: a static program that gives back what it
//! is given, and has no wall. Built by the benchmark with bare rustc.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

/// The largest packet that the benchmark sends.
const MOST: usize = 128 * 1024;

fn main() -> std::io::Result<()> {
    // Not `Stdin`, which would copy through a buffer of its own.
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let mut bytes = vec![0; MOST];
    loop {
        match input.read(&mut bytes)? {
            0 => return Ok(()),
            len => output.write_all(&bytes[..len])?,
        }
    }
}
