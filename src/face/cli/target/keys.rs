//! Keys.

use std::time::Duration;

use serde_json::{Value, json};

use crate::face::cli::target::either::Target;
use crate::face::remote::{Ask, Client};
use crate::{Key, KeyName, NewKey, Result, duration};

impl Target {
    /// The keys, without their secrets.
    pub(in crate::face::cli) fn keys(&self) -> Result<Vec<Key>> {
        match self {
            Self::Here(store) => store.view()?.keys().list(),
            Self::There(client) => {
                let mut answer = client.ask(&Ask::get(&["api", "keys"]))?;
                let Value::Array(keys) = answer["keys"].take() else {
                    return Err(client.not_understood("the response lacks the field keys"));
                };
                keys.into_iter().map(|key| client.told(key)).collect()
            }
        }
    }

    /// Adds a key. Returns its secret.
    pub(in crate::face::cli) fn add_key(&self, new: NewKey) -> Result<String> {
        match self {
            Self::Here(store) => Ok(store.write(|tx| tx.keys().add(new))?.as_str().to_owned()),
            Self::There(client) => {
                let expires = new.expires_in.map(duration::exact);
                let body = json!({"name": new.name, "role": new.role, "bot": new.bot, "expires": expires});
                secret(client, &Ask::post(&["api", "keys"], body))
            }
        }
    }

    /// Gives a key another secret, and returns it.
    pub(in crate::face::cli) fn rotate_key(&self, name: &KeyName, keep_old: Duration) -> Result<String> {
        match self {
            Self::Here(store) => Ok(store.write(|tx| tx.keys().rotate(name, keep_old))?.as_str().to_owned()),
            Self::There(client) => {
                let body = json!({"keep_old": duration::exact(keep_old)});
                secret(client, &Ask::post(&["api", "keys", name.as_str(), "rotate"], body))
            }
        }
    }

    /// Revokes a key.
    pub(in crate::face::cli) fn revoke_key(&self, name: &KeyName) -> Result<()> {
        match self {
            Self::Here(store) => store.write(|tx| tx.keys().revoke(name)),
            Self::There(client) => client.ask(&Ask::delete(&["api", "keys", name.as_str()])).map(drop),
        }
    }

    /// Removes a revoked key.
    pub(in crate::face::cli) fn remove_key(&self, name: &KeyName) -> Result<()> {
        match self {
            Self::Here(store) => store.write(|tx| tx.keys().remove(name)),
            Self::There(client) => {
                client.ask(&Ask::post(&["api", "keys", name.as_str(), "remove"], json!({}))).map(drop)
            }
        }
    }
}

fn secret(client: &Client, ask: &Ask) -> Result<String> {
    let answer = client.ask(ask)?;
    answer["key"].as_str().map(str::to_owned).ok_or_else(|| client.not_understood("the response lacks the field key"))
}
