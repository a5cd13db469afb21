//! Parses targets, from options and from a file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files;
use crate::{Disaster, DrillTarget, Error, Result};

/// Parses `file_lost=2m/10m`.
pub(super) fn target(text: &str) -> Result<(Disaster, DrillTarget)> {
    let (name, target) = text.split_once('=').ok_or_else(|| {
        let text = text.escape_debug();
        Error::invalid(format!("a target is DISASTER=RECOVERY/LOSS, such as file_lost=2m/10m: text={text}"))
    })?;
    Ok((name.trim().parse()?, target.trim().parse()?))
}

/// Reads a file with lines such as `file_lost = "2m/10m"`.
pub(super) fn read(path: &Path) -> Result<Vec<(Disaster, DrillTarget)>> {
    let text = files::read_text(path, files::SETTINGS_MAX)?;
    let entries: BTreeMap<String, String> = toml::from_str(&text)
        .map_err(|error| Error::invalid(format!("{}: {}", path.display(), error.message())).with_source(error))?;
    entries.iter().map(|(name, target)| Ok((name.parse()?, target.parse()?))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_writes_targets_as_options_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.toml");
        fs::write(&path, "file_lost = '2m/10m'\nbot_killed = \"5s/1s\"\n").unwrap();
        let read = read(&path).unwrap();
        assert!(
            read.contains(&target("file_lost=2m/10m").unwrap()) && read.contains(&target("bot_killed=5s/1s").unwrap())
        );
        fs::write(&path, "flood = '2m/10m'").unwrap();
        assert!(super::read(&path).is_err());
        assert!(target("file_lost").is_err());
    }
}
