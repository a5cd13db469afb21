//! The program `hivekeep`: it takes the arguments and returns an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hivekeep::run_program(std::env::args_os())
}
