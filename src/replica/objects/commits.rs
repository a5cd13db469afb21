//! The body of a batch: commits one after another, each with its sequence and its changed rows.

use std::sync::Arc;

use super::layout::BODY_MAX;
use crate::error::{Error, Result};

/// Sequence and length before the rows of a commit.
const PREFIX: usize = 12;
/// The greatest number of commits in a body, which limits the memory of a reader.
pub(crate) const COMMITS_MAX: usize = 1 << 20;

/// A commit as it travels: its sequence, and the rows that it changed, encoded as in an entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShippedCommit {
    pub(crate) sequence: u64,
    pub(crate) rows: Arc<[u8]>,
}

/// The length of a commit in a body.
pub(crate) fn length_of(commit: &ShippedCommit) -> usize {
    PREFIX + commit.rows.len()
}

/// The body of these commits.
///
/// # Errors
///
/// `Invalid` when it is too long for an object.
pub(crate) fn encode(commits: &[ShippedCommit]) -> Result<Vec<u8>> {
    let length = commits.iter().map(length_of).sum::<usize>();
    if length > BODY_MAX || commits.len() > COMMITS_MAX {
        let count = commits.len();
        return Err(Error::invalid(format!("the commits are too long for an object: commits={count} bytes={length}")));
    }
    let mut body = Vec::with_capacity(length);
    for commit in commits {
        // The sum of all lengths is below BODY_MAX.
        let rows = u32::try_from(commit.rows.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&commit.sequence.to_le_bytes());
        body.extend_from_slice(&rows.to_le_bytes());
        body.extend_from_slice(&commit.rows);
    }
    Ok(body)
}

/// The commits of a body. Their sequences ascend from behind `after`; there are gaps.
///
/// # Errors
///
/// `Damaged` for bytes that no writer makes.
pub(crate) fn decode(mut body: &[u8], after: u64) -> Result<Vec<ShippedCommit>> {
    let damaged = |why: &str| Error::damaged(format!("a batch of the replica {why}"));
    let (mut commits, mut last) = (Vec::new(), after);
    while !body.is_empty() {
        let (prefix, rest) = body.split_first_chunk::<PREFIX>().ok_or_else(|| damaged("ends within a commit"))?;
        let [s0, s1, s2, s3, s4, s5, s6, s7, l0, l1, l2, l3] = *prefix;
        let sequence = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if sequence <= last {
            return Err(damaged("has commits in a wrong order"));
        }
        if commits.len() == COMMITS_MAX {
            return Err(damaged("has too many commits"));
        }
        let (rows, rest) = rest.split_at_checked(length).ok_or_else(|| damaged("ends within a commit"))?;
        commits.push(ShippedCommit { sequence, rows: rows.into() });
        (body, last) = (rest, sequence);
    }
    Ok(commits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn commit(sequence: u64, rows: &[u8]) -> ShippedCommit {
        ShippedCommit { sequence, rows: rows.into() }
    }

    #[test]
    fn commits_have_golden_bytes_and_read_back() {
        let commits = [commit(5, b"ab"), commit(1 << 40, b"")];
        let bytes = [&[5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0][..], b"ab", &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(encode(&commits).unwrap(), bytes);
        assert_eq!(decode(&bytes, 4).unwrap(), commits);
        assert_eq!(decode(b"", 4).unwrap(), []);
    }

    #[test]
    fn commits_that_are_cut_or_in_a_wrong_order_are_damaged() {
        let bytes = encode(&[commit(5, b"ab"), commit(6, b"c")]).unwrap();
        for end in (1..bytes.len()).filter(|end| *end != 14) {
            assert_eq!(decode(&bytes[..end], 4).unwrap_err().kind(), ErrorKind::Damaged, "{end}");
        }
        assert_eq!(decode(&bytes, 5).unwrap_err().kind(), ErrorKind::Damaged);
        let twice = encode(&[commit(5, b""), commit(5, b"")]).unwrap();
        assert_eq!(decode(&twice, 4).unwrap_err().kind(), ErrorKind::Damaged);
        let mut long = encode(&[commit(5, b"ab")]).unwrap();
        long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&long, 4).unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(encode(&[commit(1, &vec![0; BODY_MAX])]).unwrap_err().kind(), ErrorKind::Invalid);
        let many: Vec<_> = (1..=COMMITS_MAX as u64).map(|sequence| commit(sequence, b"")).collect();
        let mut bytes = encode(&many).unwrap();
        assert_eq!(decode(&bytes, 0).unwrap().len(), COMMITS_MAX);
        bytes.extend_from_slice(&encode(&[commit(u64::MAX, b"")]).unwrap());
        assert_eq!(decode(&bytes, 0).unwrap_err().kind(), ErrorKind::Damaged);
    }
}
