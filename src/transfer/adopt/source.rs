//! The kinds of files that can be adopted.

use serde::Serialize;

/// The kinds of known files, in the order of adoption: points are sealed after everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdoptSource {
    /// `registry.json`: the bots by id, in the field `bots`.
    Registry,
    /// `bots.json`: the bots, by id.
    Bots,
    /// `backlog.json`: the tasks, in the field `backlog`.
    Backlog,
    /// `chat-history-*.jsonl`: a message on each line.
    Chat,
    /// `*-activity.jsonl`: an action of a bot on each line.
    Activity,
    /// `registry-changes.jsonl`: a change of the registry on each line.
    RegistryChanges,
    /// `disaster-recovery.jsonl`: an event on each line.
    Events,
    /// `index.json`: backups and restore points. The content of each backup is in a file beside it.
    Backups,
}

impl AdoptSource {
    /// The kind of file with that name.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "registry.json" => Some(Self::Registry),
            "bots.json" => Some(Self::Bots),
            "backlog.json" => Some(Self::Backlog),
            "index.json" => Some(Self::Backups),
            "registry-changes.jsonl" => Some(Self::RegistryChanges),
            "disaster-recovery.jsonl" => Some(Self::Events),
            _ if name.starts_with("chat-history-") && name.ends_with(".jsonl") => Some(Self::Chat),
            _ if name.ends_with("-activity.jsonl") => Some(Self::Activity),
            _ => None,
        }
    }
}
