//! Peak memory of a process that loads everything, commits, makes a point and reads everything. Pages of a file that
//! are mapped count too, as they do for the system.

use anyhow::Result;

use crate::bench::{Bench, Measured, Outcome, Work, why_not};
use crate::child;
use crate::subject::Subject;

pub fn memory(bench: &mut Bench) -> Result<()> {
    let mut outcomes = Vec::new();
    for kind in bench.kinds() {
        let mut subject = Subject::new(kind, &bench.folder, bench.records)?;
        let outcome = match subject.is_available() {
            Err(error) => why_not(error)?,
            Ok(()) if !child::TELLS_MEMORY => {
                Outcome::Cannot("this system does not tell a process its peak".to_owned())
            }
            Ok(()) => {
                subject.close()?;
                let (time, bytes) = child::peak_memory(kind.name, &subject.folder, bench.records)?;
                Outcome::Measured(Measured { times: vec![time], bytes: Some(bytes), file_bytes: None })
            }
        };
        std::fs::remove_dir_all(&subject.folder)?;
        outcomes.push((kind.name, outcome));
    }
    bench.note(Work::new("memory").bytes(), outcomes)
}
