//! Confirms findings by a second look before anything counts as wrong: old objects may be removed during the first one.

use crate::error::Result;

/// Looks, and once more if something was found; then only those findings count that both looks have.
///
/// # Errors
///
/// Every error of a look.
pub(super) async fn confirmed<R>(
    look: impl AsyncFn() -> Result<R>,
    findings: impl Fn(&mut R) -> &mut Vec<String>,
) -> Result<R> {
    let mut first = look().await?;
    let before = std::mem::take(findings(&mut first));
    if before.is_empty() {
        return Ok(first);
    }
    let mut second = look().await?;
    findings(&mut second).retain(|finding| before.contains(finding));
    Ok(second)
}
