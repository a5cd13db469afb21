//! Restores and undos, and their plans.

use serde_json::{Value, json};

use crate::face::cli::target::either::Target;
use crate::face::remote::{Ask, Client};
use crate::{RestoreOptions, RestorePlan, RestoreReport, Result, Selector};

/// A plan, as text and as JSON.
pub(in crate::face::cli) struct Planned {
    pub(in crate::face::cli) text: String,
    pub(in crate::face::cli) json: Value,
}

/// A restore that is asked for.
pub(in crate::face::cli) struct RestoreAsked {
    pub(in crate::face::cli) point: Selector,
    pub(in crate::face::cli) only: Vec<String>,
    pub(in crate::face::cli) key: Option<String>,
    pub(in crate::face::cli) verify: bool,
    pub(in crate::face::cli) keep_finished: bool,
    pub(in crate::face::cli) partial: bool,
    pub(in crate::face::cli) expect: Option<String>,
}

impl RestoreAsked {
    pub(in crate::face::cli) fn options(&self) -> RestoreOptions {
        let options = RestoreOptions::new()
            .only(self.only.clone())
            .keep_finished(self.keep_finished)
            .verify(self.verify)
            .partial(self.partial);
        let options = self.key.iter().fold(options, RestoreOptions::key);
        self.expect.iter().fold(options, RestoreOptions::expect)
    }

    fn ask(&self, dry_run: bool) -> Ask {
        let mut body = json!({
            "only": self.only, "key": self.key, "verify": self.verify, "keep_finished": self.keep_finished,
            "expect": self.expect, "dry_run": dry_run,
        });
        if self.partial {
            body["partial"] = true.into();
        }
        Ask::post(&["api", "points", &self.point.to_string(), "restore"], body)
    }
}

impl Target {
    /// Plans a restore.
    pub(in crate::face::cli) fn plan_restore(&self, asked: &RestoreAsked) -> Result<Planned> {
        match self {
            Self::Here(store) => Ok(Planned::of(&store.plan_restore(&asked.point, asked.options())?)),
            Self::There(client) => planned(client, asked.ask(true)),
        }
    }

    /// Restores a point.
    pub(in crate::face::cli) fn restore(&self, asked: &RestoreAsked) -> Result<RestoreReport> {
        match self {
            Self::Here(store) => store.restore(&asked.point, asked.options()),
            Self::There(client) => self.reported(client, &asked.ask(false)),
        }
    }

    /// Plans an undo.
    pub(in crate::face::cli) fn plan_undo(&self) -> Result<Planned> {
        match self {
            Self::Here(store) => Ok(Planned::of(&store.plan_undo()?)),
            Self::There(client) => planned(client, Ask::post(&["api", "undo"], json!({"dry_run": true}))),
        }
    }

    /// Undoes the last restore.
    pub(in crate::face::cli) fn undo(&self, discard: bool, expect: Option<String>) -> Result<RestoreReport> {
        match self {
            Self::Here(store) => {
                let plan = store.plan_undo()?;
                let plan = if discard { plan.discard() } else { plan };
                store.apply(&expect.into_iter().fold(plan, RestorePlan::expect))
            }
            Self::There(client) => {
                let body = json!({"discard": discard, "expect": expect});
                self.reported(client, &Ask::post(&["api", "undo"], body))
            }
        }
    }

    fn reported(&self, client: &Client, ask: &Ask) -> Result<RestoreReport> {
        let report: RestoreReport = client.told(client.ask(ask)?)?;
        let earlier = report.earlier.map(|earlier| earlier.seen_at(self.now()));
        Ok(RestoreReport { earlier, ..report })
    }
}

impl Planned {
    fn of(plan: &RestorePlan) -> Self {
        Self { text: plan.to_string(), json: json!(plan) }
    }

    /// A number in it.
    pub(in crate::face::cli) fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap_or_default()
    }
}

/// The plan of a service, which says it in words too. A plan changes nothing, so it may be asked for again.
fn planned(client: &Client, ask: Ask) -> Result<Planned> {
    let mut json = client.ask(&ask.repeatable())?;
    match json.as_object_mut().and_then(|members| members.shift_remove("text")) {
        Some(Value::String(text)) => Ok(Planned { text, json }),
        _ => Err(client.not_understood("the plan lacks the field text")),
    }
}
