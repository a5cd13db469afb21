//! Several processes over one log, which take turns.
//!
//! * `turn`: taking a turn, and giving it up; `tell`: what the processes tell one another
//! * `follow`: the entries of other processes, for views and for the next turn
//! * `rest`: moving the log into redb

mod follow;
#[cfg(test)]
mod harm_test;
#[cfg(test)]
mod page_test;
#[cfg(test)]
mod reading_test;
mod rest;
mod tell;
#[cfg(test)]
mod test;
mod turn;
