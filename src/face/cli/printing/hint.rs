//! The next step that an error suggests, as options and verbs of the command line.

use crate::Hint;

/// The options or verbs of a hint.
pub(in crate::face::cli) fn typed(hint: &Hint) -> String {
    let typed = match hint {
        Hint::NameStore => "start one with hivekeep serve, or pass --store",
        Hint::ListPoints => "hivekeep point list --all",
        Hint::ShowPoint => "hivekeep point show POINT",
        Hint::ComparePoints => "hivekeep point diff POINT",
        Hint::MakePoint => "hivekeep point create",
        Hint::ReleasePoint => "hivekeep point release POINT",
        Hint::CheckStore => "hivekeep check lists all damage",
        Hint::RepairStore => {
            "hivekeep repair --dry-run shows what a repair would keep; hivekeep --unverified get COLLECTION reads what is \
             left"
        }
        Hint::AllowPartial { command } => return format!("hivekeep point show, then {command}"),
        Hint::AllowPartialImport => "to import what is left of it: --partial",
        Hint::DiscardLaterWork => "to undo it anyway: hivekeep undo --discard",
        Hint::PlanAgain => "plan it again: --dry-run",
        Hint::NameCollection => "--only COLLECTION --key KEY",
        Hint::NameAllTasks => "to change all of them: --all",
        Hint::AllowDifferent => "to take the earlier task: --allow-different",
        Hint::AllowMissingDependencies => "to wait for tasks that are not pushed yet: --allow-missing",
        Hint::NameRepaired => "name another file with --to",
        Hint::ReplaceFile => "to replace it: --force",
        Hint::NameArchiveFolder => "name another folder with --archive-dir",
        Hint::NameRecipient => "--recipient or --passphrase-file",
        Hint::GivePassphrase => "--passphrase-file FILE",
        Hint::GiveIdentity => "--identity FILE",
        Hint::RaiseArchiveLimit => "raise the limit with --max-bytes",
        Hint::RaiseRecordLimit => "raise the limit with --max-value-bytes",
        Hint::GiveKey => "--key-file FILE, with a key of the service; hivekeep key add makes one",
        Hint::TrustCertificate => "to trust it: --ca FILE",
        Hint::StartService => "start it with hivekeep serve, or name another address with --store",
        Hint::AskService => "if a service has it, ask that: --store http://HOST:PORT or --store unix:PATH",
        Hint::TakeOver => {
            "to write to it with the newest state: hivekeep replica promote LOCATION --to FILE; with the state that it has: \
             hivekeep replica take-over FILE"
        }
        Hint::TakeBack => {
            "to write to it all the same, as a store of its own: hivekeep replica take-over FILE --as-new-store"
        }
        Hint::AllowGivenUp => "to take back what the restore gave up: --with-given-up",
        Hint::NameScratchFolder => "name a folder with --scratch",
    };
    typed.to_owned()
}
