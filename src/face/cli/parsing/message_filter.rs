//! Options of `get` for messages and audit entries: the newest, those before a number, those of a bot.

use clap::Args;
use jiff::Timestamp;

use crate::face::cli::parsing::input;
use crate::face::cli::target::Seen;
use crate::{AuditFilter, BotId, ChatFilter, Entry, Error, Message, Page, Result, Selector};

/// The number of messages and entries that are read at a time.
const MESSAGES_PER_READ: usize = 256;

/// Filters for numbered records.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for chat and audit")]
pub(in crate::face::cli) struct MessageFilter {
    /// Show only the newest N, oldest of them first
    #[arg(long, value_name = "N", conflicts_with = "key", value_parser = input::at_least_one)]
    newest: Option<usize>,
    /// Show only those with a lower number, such as the first number of the page shown before
    #[arg(long, value_name = "NUMBER", conflicts_with = "key")]
    before: Option<u64>,
    /// Show only the messages of this bot, or the audit entries of which it is the actor or the target
    #[arg(long, value_name = "BOT", conflicts_with = "key")]
    bot: Option<BotId>,
    /// Show only the audit entries of this actor, such as a key or cli:1000
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    actor: Option<String>,
    /// Show only the audit entries of this action, such as config_put
    #[arg(long, value_name = "ACTION", conflicts_with = "key")]
    action: Option<String>,
    /// Show only the audit entries with this target
    #[arg(long, value_name = "TARGET", conflicts_with = "key")]
    target: Option<String>,
    /// Show only the audit entries recorded since this time, or since '10m ago'
    #[arg(long, value_name = "TIME", conflicts_with = "key", value_parser = moment)]
    since: Option<Selector>,
    /// Show only the messages of this conversation
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    conversation: Option<String>,
}

/// Records to be shown.
type Listed<'a, T> = Box<dyn Iterator<Item = Result<T>> + 'a>;

impl MessageFilter {
    /// The messages, oldest first; the newest `most` of them unless options say how many.
    ///
    /// # Errors
    ///
    /// `Invalid` for a filter of the audit trail.
    pub(in crate::face::cli) fn messages<'a>(
        &self,
        seen: &'a Seen<'_>,
        most: Option<usize>,
    ) -> Result<Listed<'a, Message>> {
        if let Some((name, _)) = self.of_the_trail().into_iter().find(|(_, given)| *given) {
            return Err(Error::invalid(format!("--{name} works with audit only: collection=chat")));
        }
        let filter = ChatFilter { bot: self.bot.clone(), conversation: self.conversation.clone() };
        let list = move |page| seen.messages(&filter, page);
        Ok(self.chosen(list, |message| message.sequence, most))
    }

    /// The filters of the audit trail, and whether each is given.
    fn of_the_trail(&self) -> [(&'static str, bool); 4] {
        [
            ("actor", self.actor.is_some()),
            ("action", self.action.is_some()),
            ("target", self.target.is_some()),
            ("since", self.since.is_some()),
        ]
    }

    /// The entries of the audit trail, oldest first; the newest `most` of them unless options say how many.
    ///
    /// # Errors
    ///
    /// `Invalid` if a conversation is given.
    pub(in crate::face::cli) fn entries<'a>(
        &self,
        seen: &'a Seen<'_>,
        now: Timestamp,
        most: Option<usize>,
    ) -> Result<Listed<'a, Entry>> {
        if self.conversation.is_some() {
            return Err(Error::invalid("the audit trail has no conversations; leave --conversation out"));
        }
        let filter = AuditFilter {
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            bot: self.bot.as_ref().map(ToString::to_string),
            since: self.since.as_ref().and_then(|since| since.time(now)),
        };
        Ok(self.chosen(move |page| seen.entries(&filter, page), |entry| entry.sequence, most))
    }

    /// Whether no option says how many records to show.
    pub(in crate::face::cli) fn has_no_number(&self) -> bool {
        self.newest.is_none()
    }

    /// Refuses a limit for numbered records, of which people want the newest.
    ///
    /// # Errors
    ///
    /// `Invalid`.
    pub(in crate::face::cli) fn refuse_limit(&self, limit: Option<usize>) -> Result<()> {
        limit.map_or(Ok(()), |limit| {
            Err(Error::invalid(format!("chat and audit take --newest in place of --limit: --newest {limit}")))
        })
    }

    /// Refuses these options for records without numbers.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the option.
    pub(in crate::face::cli) fn refuse(&self, collection: &str) -> Result<()> {
        let options = [
            ("newest", self.newest.is_some()),
            ("before", self.before.is_some()),
            ("bot", self.bot.is_some()),
            ("conversation", self.conversation.is_some()),
        ];
        match options.into_iter().chain(self.of_the_trail()).find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Error::invalid(format!("--{name} works with chat and audit only: collection={collection}")))
            }
        }
    }

    /// The selected records, oldest first.
    fn chosen<'a, T: 'a>(
        &self,
        list: impl Fn(Page) -> Result<Vec<T>> + 'a,
        number: fn(&T) -> u64,
        most: Option<usize>,
    ) -> Listed<'a, T> {
        let within = |page: Page| self.before.map_or(page, |before| page.before(before));
        let Some(newest) = self.newest.or(most) else {
            let first = within(Page::oldest(MESSAGES_PER_READ));
            return Box::new(in_pages(first, Page::after, list, number));
        };
        let first = within(Page::newest(newest.min(MESSAGES_PER_READ)));
        let mut found: Vec<_> = in_pages(first, Page::before, list, number).take(newest).collect();
        found.reverse();
        Box::new(found.into_iter())
    }
}

/// A time, or a length of time ago.
fn moment(text: &str) -> Result<Selector> {
    match text.parse() {
        Ok(moment @ (Selector::At(_) | Selector::Ago(_))) => Ok(moment),
        _ => Err(Error::invalid("must be a time such as 2026-01-02T03:04:05Z, or '10m ago'")),
    }
}

/// Reads numbered records in pages.
fn in_pages<T>(
    first: Page,
    beyond: fn(Page, u64) -> Page,
    list: impl Fn(Page) -> Result<Vec<T>>,
    number: fn(&T) -> u64,
) -> impl Iterator<Item = Result<T>> {
    let mut next = Some(first);
    let pages = std::iter::from_fn(move || {
        let page = next.take()?;
        let found = list(page);
        next = found.as_ref().ok().and_then(|found| found.last()).map(|last| beyond(page, number(last)));
        Some(found)
    });
    pages.flat_map(|page| match page {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}
