//! The syntax of numbers in JSON.

/// The length of the number at the start of `text`; none if there is no number.
pub(super) fn number_len(text: &[u8]) -> Option<usize> {
    let byte = |at: usize| text.get(at).copied();
    let digits = |from: usize| text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(byte(0) == Some(b'-'));
    at += match byte(at)? {
        b'0' => 1,
        b'1'..=b'9' => digits(at),
        _ => return None,
    };
    if byte(at) == Some(b'.') {
        at += 1 + Some(digits(at + 1)).filter(|count| *count > 0)?;
    }
    if matches!(byte(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(byte(at + 1), Some(b'+' | b'-')));
        at += Some(digits(at)).filter(|count| *count > 0)?;
    }
    Some(at)
}
