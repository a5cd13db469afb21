//! `key`: who may call the service.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::duration;
use crate::face::cli::context::Context;
use crate::face::cli::printing::exit::Exit;
use crate::face::cli::target::Target;
use crate::{BotId, KeyName, NewKey, Result, Role};

/// Keys: who may call the service, and what each of them may do
///
/// Once a store has a key, its service asks for one: Authorization: Bearer KEY. A reader reads everything but secrets;
/// a bot works as itself; an operator changes all of the state, makes restore points and restores them; an admin
/// manages keys. Keys are not part of any restore point: no restore brings a revoked key back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep key add BOT-222 --role bot
  hivekeep key list
  hivekeep key rotate BOT-222
  hivekeep key revoke BOT-222")]
pub(in crate::face::cli) struct KeyArgs {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, Subcommand)]
enum KeyVerb {
    Add(Add),
    List(List),
    Rotate(Rotate),
    Revoke(Revoke),
    Remove(Remove),
}

impl KeyArgs {
    pub(in crate::face::cli) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            KeyVerb::Add(add) => add.run(context),
            KeyVerb::List(list) => list.run(context),
            KeyVerb::Rotate(rotate) => rotate.run(context),
            KeyVerb::Revoke(Revoke { name }) => change(context, "revoked", &name, |target| target.revoke_key(&name)),
            KeyVerb::Remove(Remove { name }) => change(context, "removed", &name, |target| target.remove_key(&name)),
        }
    }
}

/// Add a key, and print it; it is shown only this once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep key add BOT-222 --role bot
  hivekeep key add night-shift --role bot --bot BOT-7 --expires 90d
  hivekeep key add dashboard --role reader")]
struct Add {
    /// The name, which is also part of the key
    name: KeyName,
    /// reader, bot, operator or admin
    #[arg(long)]
    role: Role,
    /// The only bot that a key of the role bot acts as; the name of the key unless set
    #[arg(long, value_name = "ID")]
    bot: Option<BotId>,
    /// How long it is valid, such as 90d; without an end unless set
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    expires: Option<Duration>,
}

/// List the keys, without their secrets
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep key list
  hivekeep key list --json")]
struct List {}

/// Give a key a new secret, and print it; the one before stays valid for a while
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep key rotate BOT-222
  hivekeep key rotate BOT-222 --keep-old 0s")]
struct Rotate {
    /// The name of the key
    name: KeyName,
    /// How long the secret before stays valid
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "1d")]
    keep_old: Duration,
}

/// Revoke a key for good; a service notices within a second
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep key revoke BOT-222")]
struct Revoke {
    /// The name of the key
    name: KeyName,
}

/// Remove a revoked key from the list; a store without any key asks for none
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep key remove BOT-222")]
struct Remove {
    /// The name of the key
    name: KeyName,
}

impl Add {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let new = NewKey { bot: self.bot, expires_in: self.expires, ..NewKey::new(self.name, self.role) };
        let secret = context.alter(|target| target.add_key(new))?;
        show(context, &secret)
    }
}

impl Rotate {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let secret = context.alter(|target| target.rotate_key(&self.name, self.keep_old))?;
        show(context, &secret)
    }
}

impl List {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let keys = context.reach()?.keys()?;
        context.out.list(keys.into_iter().map(Ok))?;
        Ok(Exit::Done)
    }
}

fn show(context: &mut Context, secret: &str) -> Result<Exit> {
    if context.out.is_json() {
        context.out.json(&json!({ "key": secret }))?;
    } else {
        context.out.line(secret)?;
    }
    context.out.message("this key is shown only now; keep it where only its holder can read it");
    Ok(Exit::Done)
}

fn change(context: &mut Context, done: &str, name: &KeyName, work: impl FnOnce(&Target) -> Result<()>) -> Result<Exit> {
    context.alter(work)?;
    if context.out.is_json() {
        context.out.json(&json!({"key": name}))?;
    }
    context.out.message(format_args!("{done} key {name}"));
    Ok(Exit::Done)
}
