//! The requests that were answered, counted by method, path and status, as Prometheus reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::face::http::measures::prometheus::{head, line};

/// The upper bounds of the histogram buckets, in seconds.
const STRETCHES: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// The requests since the service began. Methods and paths are of our own lists, so that it stays small.
#[derive(Default)]
pub(in crate::face::http) struct RequestCounts(Mutex<BTreeMap<(&'static str, String), Counted>>);

/// The requests of one method and path.
#[derive(Default)]
struct Counted {
    by_status: BTreeMap<u16, u64>,
    by_stretch: [u64; STRETCHES.len()],
    requests: u64,
    seconds: f64,
}

impl RequestCounts {
    pub(in crate::face::http) fn count(&self, method: &'static str, path: String, status: u16, took: Duration) {
        let mut counted = self.0.lock();
        let counted = counted.entry((method, path)).or_default();
        *counted.by_status.entry(status).or_default() += 1;
        let seconds = took.as_secs_f64();
        counted.requests += 1;
        counted.seconds += seconds;
        if let Some(at) = STRETCHES.iter().position(|end| seconds <= *end)
            && let Some(count) = counted.by_stretch.get_mut(at)
        {
            *count += 1;
        }
    }

    pub(in crate::face::http) fn write(&self, text: &mut String) {
        let counted = self.0.lock();
        head(text, "hivekeep_http_requests_total", "counter", "Requests that were answered.");
        for ((method, path), own) in counted.iter() {
            for (status, count) in &own.by_status {
                let labels = format!("method=\"{method}\",path=\"{path}\",status=\"{status}\"");
                line(text, "hivekeep_http_requests_total", &labels, count);
            }
        }
        let name = "hivekeep_http_request_duration_seconds";
        head(text, name, "histogram", "Time that answers took.");
        for ((method, path), own) in counted.iter() {
            let labels = format!("method=\"{method}\",path=\"{path}\"");
            let mut sum = 0;
            for (end, count) in STRETCHES.iter().zip(own.by_stretch) {
                sum += count;
                line(text, &format!("{name}_bucket"), &format!("{labels},le=\"{end}\""), sum);
            }
            line(text, &format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), own.requests);
            line(text, &format!("{name}_sum"), &labels, own.seconds);
            line(text, &format!("{name}_count"), &labels, own.requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_method_path_and_status_and_stretches_add_up() {
        let counts = RequestCounts::default();
        for (status, millis) in [(200, 1), (200, 30), (404, 20_000)] {
            counts.count("GET", "/livez".into(), status, Duration::from_millis(millis));
        }
        let mut text = String::new();
        counts.write(&mut text);
        for line in [
            r#"hivekeep_http_requests_total{method="GET",path="/livez",status="200"} 2"#,
            r#"hivekeep_http_requests_total{method="GET",path="/livez",status="404"} 1"#,
            r#"hivekeep_http_request_duration_seconds_bucket{method="GET",path="/livez",le="0.001"} 1"#,
            r#"hivekeep_http_request_duration_seconds_bucket{method="GET",path="/livez",le="10"} 2"#,
            r#"hivekeep_http_request_duration_seconds_bucket{method="GET",path="/livez",le="+Inf"} 3"#,
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }
}
