use crate::bench::Bench;
use anyhow::Result;
pub const NAMES: &[&str] = &["queue_cycle_1_thread"];
pub const ENGINES: [&str; 0] = [];
pub fn all(_bench: &mut Bench) -> Result<()> {
    Ok(())
}
pub fn run_child(_engine: &str, _folder: &std::path::Path) -> Result<()> {
    Ok(())
}
