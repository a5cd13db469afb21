//! The store as a whole: its status, events, backups, check and diagnosis.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::face::cli::target::either::{Target, listed, told};
use crate::face::cli::target::seen::numbered;
use crate::face::remote::{Ask, Client, watch};
use crate::{
    Backup, BackupRequest, CheckReport, Diagnosis, Error, ErrorKind, Event, Kind, Memory, Page, Policy, Result,
    ShortIds, StoredPolicy, Summary, Weights,
};

/// The ids that are known, so that they can be shown shortened.
const IDS: usize = 100_000;
/// The newest backups among which a new one is found.
const NEWEST: usize = 100;

impl Target {
    /// The content in numbers, and on request the sizes of its parts.
    pub(in crate::face::cli) fn summary(&self, sizes: bool) -> Result<(Summary, Option<Weights>)> {
        match self {
            Self::Here(store) => Ok((store.summary()?, sizes.then(|| store.weigh()).transpose()?)),
            Self::There(client) => {
                let summary = told(client, &Ask::get(&["api", "summary"]))?;
                Ok((summary, sizes.then(|| told(client, &Ask::get(&["api", "sizes"]))).transpose()?))
            }
        }
    }

    /// The ids of all points and backups.
    pub(in crate::face::cli) fn short_ids(&self) -> Result<ShortIds> {
        match self {
            Self::Here(store) => store.view()?.short_ids(),
            Self::There(client) => {
                let ids = |ask: Ask, list: &'static str, name: &str| -> Result<Vec<String>> {
                    let id = |item: Result<Value>| item.map(|item| item[name].as_str().map(str::to_owned));
                    client.list(ask, list).take(IDS).filter_map(|item| id(item).transpose()).collect()
                };
                let points = ids(Ask::get(&["api", "timeline", "points"]).flag("all", true), "points", "point")?;
                let is_id = |id: &String| !id.starts_with("epoch ");
                let points = points.into_iter().filter(is_id).collect();
                Ok(ShortIds::new(points, ids(Ask::get(&["api", "backups"]), "backups", "backup_id")?))
            }
        }
    }

    /// A page of events, in its order.
    pub(in crate::face::cli) fn events(&self, page: Page) -> Result<Vec<Event>> {
        match self {
            Self::Here(store) => store.view()?.events().list(page),
            Self::There(client) => events_there(client, page),
        }
    }

    /// The newest backups of a kind, or of all.
    pub(in crate::face::cli) fn backups(&self, kind: Option<Kind>, limit: usize) -> Result<Vec<Backup>> {
        match self {
            Self::Here(store) => Ok(store.backups(kind)?.into_iter().take(limit).collect()),
            Self::There(client) => {
                let ask = Ask::get(&["api", "backups"]).with("kind", kind);
                listed(client, ask, "backups").take(limit).collect()
            }
        }
    }

    /// Makes a backup: of the live state, or of that document.
    pub(in crate::face::cli) fn back_up(
        &self,
        kind: Kind,
        tags: BTreeMap<String, String>,
        source: Option<String>,
        data: Option<Value>,
    ) -> Result<Backup> {
        match self {
            Self::Here(store) => {
                let request =
                    tags.into_iter().fold(BackupRequest::new(kind), |request, (name, value)| request.tag(name, value));
                let request = source.into_iter().fold(request, BackupRequest::source);
                store.backup(data.into_iter().fold(request, BackupRequest::data))
            }
            Self::There(client) => {
                let mut body = json!({"backup_type": kind, "tags": tags, "source": source});
                if let Some(data) = data {
                    body["data"] = data;
                }
                let made = client.ask(&Ask::post(&["api", "disaster-recovery", "backup"], body))?;
                let found =
                    self.backups(Some(kind), NEWEST)?.into_iter().find(|backup| made["backup_id"] == backup.backup_id);
                let id = made["backup_id"].as_str().unwrap_or_default();
                found.ok_or_else(|| Error::not_found(format!("the backup was made, and is gone already: id={id}")))
            }
        }
    }

    /// Lets a service verify everything, which it does beside its other work; also gives the number of rows that it
    /// healed. A file is checked otherwise.
    pub(in crate::face::cli) fn check_by_service(&self, show: impl Fn(u64, u64)) -> Result<(CheckReport, u64)> {
        let Self::There(client) = self else { return Err(no_service()) };
        let text = |job: &Value, name: &str| job[name].as_str().unwrap_or_default().to_owned();
        let job = client.ask(&Ask::post(&["api", "check"], json!({})).repeatable())?;
        let id = text(&job, "id");
        let progress = |job: &Value| {
            let number = |name: &str| job[name].as_u64().unwrap_or_default();
            let (done, of) = (number("done"), number("of"));
            (job["state"] == "running").then(|| {
                show(done, of);
                done
            })
        };
        let mut job = watch(client, job, progress, |_| client.ask(&Ask::get(&["api", "check", &id])))?;
        match job["state"].as_str() {
            // A service of an earlier version does not say how many rows it healed.
            Some("done") => Ok((client.told(job["report"].take())?, job["healed"].as_u64().unwrap_or_default())),
            Some("failed") => {
                let why = text(&job, "error");
                let message = format!("the check failed; see the log of the service: error={why}");
                Err(Error::new(ErrorKind::Io, message))
            }
            _ => Err(client.not_understood("a check is in an unknown state")),
        }
    }

    /// Lets a service diagnose its store. A file is diagnosed otherwise.
    pub(in crate::face::cli) fn diagnosis(&self) -> Result<Diagnosis> {
        let Self::There(client) = self else { return Err(no_service()) };
        told(client, &Ask::get(&["api", "doctor"]))
    }

    /// Acknowledges crashes. Returns how many.
    pub(in crate::face::cli) fn acknowledge_crashes(&self) -> Result<u64> {
        match self {
            Self::Here(store) => Ok(store.acknowledge_crashes()? as u64),
            Self::There(client) => {
                let answer = client.ask(&Ask::post(&["api", "crash", "ack"], json!({})))?;
                answer["acknowledged"]
                    .as_u64()
                    .ok_or_else(|| client.not_understood("the response lacks the field acknowledged"))
            }
        }
    }

    /// The retention policy.
    pub(in crate::face::cli) fn policy(&self) -> Result<StoredPolicy> {
        match self {
            Self::Here(store) => store.policy(),
            Self::There(client) => told(client, &Ask::get(&["api", "policy"])),
        }
    }

    /// Sets the retention policy. Returns it, and whether it changed.
    pub(in crate::face::cli) fn set_policy(&self, policy: Option<Policy>, by: &str) -> Result<(StoredPolicy, bool)> {
        match self {
            Self::Here(store) => {
                let changed = store.set_policy(policy, by)?;
                Ok((store.policy()?, changed))
            }
            Self::There(client) => {
                let answer = client.ask(&Ask::put(&["api", "policy"], json!({"policy": policy, "by": by})))?;
                let changed = answer["changed"] == true;
                Ok((client.told(answer)?, changed))
            }
        }
    }

    /// The memory of purged tasks.
    pub(in crate::face::cli) fn queue_memory(&self) -> Result<Memory> {
        match self {
            Self::Here(store) => store.view()?.queue().memory(),
            Self::There(client) => told(client, &Ask::get(&["api", "queue-memory"])),
        }
    }

    /// Sets its limits; one that is not given stays.
    pub(in crate::face::cli) fn set_queue_memory(&self, keep: Option<Duration>, most: Option<u64>) -> Result<Memory> {
        match self {
            Self::Here(store) => store.write(|tx| tx.queue().change_memory(keep, most)),
            Self::There(client) => {
                let body = json!({"keep_ms": keep.map(|keep| keep.as_millis() as u64), "most": most});
                told(client, &Ask::put(&["api", "queue-memory"], body))
            }
        }
    }
}

fn no_service() -> Error {
    Error::invalid("this needs a service: name one in --store")
}

/// A page of events, put together from those of the service, which may be shorter.
fn events_there(client: &Client, page: Page) -> Result<Vec<Event>> {
    let (mut events, mut rest) = (Vec::new(), page);
    if page.limit() == 0 {
        return Ok(events);
    }
    loop {
        let found: Vec<Event> = numbered(client, Ask::get(&["api", "events"]), "events", rest)?;
        let Some(last) = found.last().map(|event| event.sequence) else { return Ok(events) };
        events.extend(found);
        if events.len() >= page.limit() {
            events.truncate(page.limit());
            return Ok(events);
        }
        rest = rest.behind(last);
    }
}
