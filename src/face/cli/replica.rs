//! `replica`: the store off the machine, in a folder or a bucket.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::face::cli::context::Context;
use crate::face::cli::exit::Exit;
use crate::{InitReplicaOptions, ReplicaLocation, Result};

/// A replica: every commit off the machine within a second, and back on another one
///
/// A replica is in a folder, best on another machine, or in a bucket: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or
/// az://CONTAINER/PREFIX. Credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
/// For another server than Amazon's that speaks S3, add ?endpoint=https://HOST:PORT.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica init s3://backups/hive
  hivekeep serve --replica s3://backups/hive")]
pub(super) struct ReplicaArgs {
    #[command(subcommand)]
    verb: ReplicaVerb,
}

#[derive(Debug, Subcommand)]
enum ReplicaVerb {
    Init(Init),
}

impl ReplicaArgs {
    pub(super) fn run(self, context: &mut Context) -> Result<Exit> {
        match self.verb {
            ReplicaVerb::Init(init) => init.run(context),
        }
    }
}

/// Make a replica of the store where there is none yet
///
/// The bucket first proves that of two writers only one wins; a bucket that cannot is refused. Then the state of now is
/// written. From then on the store keeps its commits until serve --replica has shipped them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hivekeep replica init /mnt/other/hive
  hivekeep replica init s3://backups/hive --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")]
struct Init {
    /// The folder or the bucket
    #[arg(value_name = "LOCATION")]
    location: ReplicaLocation,
    /// Encrypt the replica to this recipient, age1...; repeat for several; this cannot be changed later
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
}

impl Init {
    fn run(self, context: &mut Context) -> Result<Exit> {
        let options = InitReplicaOptions { recipients: self.recipients };
        context.change(|store| store.init_replica(&self.location, &options))?;
        let (location, is_encrypted) = (self.location.to_string(), !options.recipients.is_empty());
        if context.out.is_json() {
            context.out.json(&json!({"replica": location, "encrypted": is_encrypted}))?;
        } else {
            context.out.line(format_args!("the replica at {location} has the state of now"))?;
        }
        context.out.message(format_args!("ship to it: hivekeep serve --replica {location}"));
        Ok(Exit::Done)
    }
}
