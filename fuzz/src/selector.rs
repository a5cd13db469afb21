//! Selectors: no text makes reading one panic, what is shown reads back, and finding the point never panics.

use hivekeep::{Epoch, Named, PointName, Resolved, Selector, resolve};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(selector) = text.parse::<Selector>() else { return };
    let shown = selector.to_string();
    let again: Selector = shown.parse().unwrap_or_else(|error| panic!("{shown:?} does not read back: {error}"));
    // Fractions of a microsecond are not shown.
    match (&selector, &again) {
        (Selector::At(time), Selector::At(read)) => assert!(time.duration_since(*read).abs().as_nanos() < 1_000),
        _ => assert_eq!(selector, again),
    }
    find(&selector, text);
}

/// A point that is found is one of the points, and not behind the time that was asked for.
fn find(selector: &Selector, text: &str) {
    let named = [Named::Always, Named::ByTime, Named::ById, Named::Partial];
    let points: Vec<_> = (0..9)
        .map(|number| PointName {
            epoch: Epoch(number),
            id: format!("{:08x}-0000-7000-8000-{:012x}", text.len() / 2, number / 2),
            at: format!("20{:02}-01-01T00:00:00Z", 9 * number).parse().unwrap(),
            named: named[usize::try_from(number % 4).unwrap()],
        })
        .collect();
    let now = "2050-01-01T00:00:00Z".parse().unwrap();
    match resolve(selector, &points, now) {
        Ok(Resolved::Point { epoch, at, off, .. }) => {
            assert!(points.iter().any(|point| point.epoch == epoch && point.at == at));
            assert!(!off.is_negative());
        }
        Ok(Resolved::Now) => assert_eq!(selector, &Selector::Now),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
