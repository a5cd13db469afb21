//! Options of `get` for messages and audit entries: the newest, those before a number, those of a bot.

use std::num::NonZeroUsize;

use clap::Args;

use crate::{BotId, ChatFilter, Entry, Error, Message, Page, Result, View};

/// The number of messages and entries that are read at a time.
const PAGE: usize = 256;

/// Filters for numbered records.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for chat and audit")]
pub(super) struct Which {
    /// Show only the newest N, oldest of them first
    #[arg(long, value_name = "N", conflicts_with = "key")]
    newest: Option<NonZeroUsize>,
    /// Show only those with a lower number, such as the first number of the page shown before
    #[arg(long, value_name = "NUMBER", conflicts_with = "key")]
    before: Option<u64>,
    /// Show only the messages of this bot, or the entries of its actions
    #[arg(long, value_name = "BOT", conflicts_with = "key")]
    bot: Option<BotId>,
    /// Show only the messages of this conversation
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    conversation: Option<String>,
}

/// Records to be shown.
type Found<'a, T> = Box<dyn Iterator<Item = Result<T>> + 'a>;

impl Which {
    /// The messages, oldest first.
    pub(super) fn messages<'a>(&self, view: &'a View) -> Found<'a, Message> {
        let filter = ChatFilter { bot: self.bot.clone(), conversation: self.conversation.clone() };
        let list = move |page| view.chat().list(&filter, page);
        self.chosen(list, |message| message.sequence, |_| true)
    }

    /// The entries of the audit trail, oldest first.
    ///
    /// # Errors
    ///
    /// `Invalid` if a conversation is given.
    pub(super) fn entries<'a>(&self, view: &'a View) -> Result<Found<'a, Entry>> {
        if self.conversation.is_some() {
            return Err(Error::invalid("the audit trail has no conversations; leave --conversation out"));
        }
        let actor = self.bot.clone();
        let fits = move |entry: &Entry| actor.as_ref().is_none_or(|actor| entry.actor == actor.as_str());
        Ok(self.chosen(|page| view.audit().list(page), |entry| entry.sequence, fits))
    }

    /// Refuses these options for records without numbers.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the option.
    pub(super) fn refuse(&self, collection: &str) -> Result<()> {
        let options = [
            ("newest", self.newest.is_some()),
            ("before", self.before.is_some()),
            ("bot", self.bot.is_some()),
            ("conversation", self.conversation.is_some()),
        ];
        match options.into_iter().find(|(_, given)| *given) {
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
        fits: impl Fn(&T) -> bool + 'a,
    ) -> Found<'a, T> {
        let fits = move |found: &Result<T>| found.as_ref().map_or(true, &fits);
        let within = |page: Page| self.before.map_or(page, |before| page.before(before));
        let Some(newest) = self.newest.map(NonZeroUsize::get) else {
            let first = within(Page::oldest(PAGE));
            return Box::new(in_pages(first, Page::after, list, number).filter(fits));
        };
        let first = within(Page::newest(newest.min(PAGE)));
        let mut found: Vec<_> = in_pages(first, Page::before, list, number).filter(fits).take(newest).collect();
        found.reverse();
        Box::new(found.into_iter())
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
