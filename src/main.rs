//! The program `hivekeep`: what was typed goes in, an exit code comes out.

use std::process::ExitCode;

fn main() -> ExitCode {
    hivekeep::run_program(std::env::args_os())
}
