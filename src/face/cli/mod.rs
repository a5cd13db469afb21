//! The command line: `hivekeep [--store PATH] [--json] [-q] VERB`.
//!
//! * `args`: the arguments, with the enum of verbs; `parsing`: those that are more than a word
//! * `verbs`: the verbs, with their options and output
//! * `context`: opens the store for a verb, to look or to change, and closes it; `target`: that store, or a service
//! * `printing`: the output of verbs
//! * `interrupt`: Ctrl-C in a verb that ends at once, and files that may not grow; `signals`: Ctrl-C in a verb that
//!   cleans up first
//! * `program`: the program, from its arguments to its exit code

mod args;
mod context;
mod interrupt;
mod parsing;
mod printing;
mod program;
mod signals;
mod target;
mod verbs;

pub use self::program::run;
