//! Restore points.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::face::cli::target::either::{Items, Target, listed, told};
use crate::face::remote::{Ask, Client};
use crate::{Change, Diff, Error, Point, PointRequest, PointSize, Resolved, Result, Selector};

/// A point, and the space that forgetting it would free, if that was asked for.
pub(in crate::face::cli) type SizedPoint = (Point, Option<PointSize>);

impl Target {
    /// The points, newest first; `all` has those of restores, documents and single commits too.
    pub(in crate::face::cli) fn points(&self, all: bool, sizes: bool) -> Result<Items<'_, SizedPoint>> {
        match self {
            Self::Here(store) => {
                let points = if all { store.all_points()? } else { store.points()? };
                Ok(Box::new(points.into_iter().map(move |point| {
                    let size = sizes.then(|| store.point_size(&point)).transpose()?;
                    Ok((point, size))
                })))
            }
            Self::There(client) => {
                let ask = Ask::get(&["api", "points"]).flag("all", all).flag("sizes", sizes);
                Ok(Box::new(client.list(ask, "points").map(|point| with_size(client, point?))))
            }
        }
    }

    /// The point of a selector.
    pub(in crate::face::cli) fn point(&self, selector: &Selector) -> Result<Point> {
        self.point_with_size(selector, false).map(|(point, _)| point)
    }

    /// The same with its size, if that is asked for.
    pub(in crate::face::cli) fn point_with_size(&self, selector: &Selector, size: bool) -> Result<SizedPoint> {
        match self {
            Self::Here(store) => {
                let point = store.find_point(selector)?.ok_or_else(now_is_none)?;
                let size = size.then(|| store.point_size(&point)).transpose()?;
                Ok((point, size))
            }
            Self::There(_) if *selector == Selector::Now => Err(now_is_none()),
            Self::There(client) => {
                let ask = Ask::get(&["api", "points", &selector.to_string()]).flag("sizes", size);
                with_size(client, client.ask(&ask)?)
            }
        }
    }

    /// The point that a time means.
    pub(in crate::face::cli) fn resolve(&self, selector: &Selector) -> Result<Resolved> {
        match self {
            Self::Here(store) => store.view()?.resolve(selector),
            Self::There(_) => Ok(self.resolved(selector, &self.point(selector)?)),
        }
    }

    /// A point as the result of a search for a time.
    pub(super) fn resolved(&self, selector: &Selector, point: &Point) -> Resolved {
        let off = selector.time(self.now()).map(|time| time.duration_since(point.timestamp)).unwrap_or_default();
        let id = point.given_id().map(ToString::to_string).unwrap_or_default();
        Resolved::Point { epoch: point.epoch, id, at: point.timestamp, off }
    }

    /// Makes a point of the live state.
    pub(in crate::face::cli) fn make_point(
        &self,
        description: String,
        tags: BTreeMap<String, String>,
        hold: bool,
    ) -> Result<Point> {
        match self {
            Self::Here(store) => {
                let request = PointRequest::new(description).held(hold);
                store.make_point(tags.into_iter().fold(request, |request, (name, value)| request.tag(name, value)))
            }
            Self::There(client) => {
                let body = json!({"description": description, "tags": tags, "held": hold});
                told(client, &Ask::post(&["api", "points"], body))
            }
        }
    }

    /// Holds a point, or releases it.
    pub(in crate::face::cli) fn hold(&self, selector: &Selector, hold: bool) -> Result<Point> {
        match self {
            Self::Here(store) if hold => store.hold(selector),
            Self::Here(store) => store.release(selector),
            Self::There(client) => {
                let verb = if hold { "hold" } else { "release" };
                told(client, &Ask::post(&["api", "points", &selector.to_string(), verb], json!({})).repeatable())
            }
        }
    }

    /// Forgets points, all of them or none.
    pub(in crate::face::cli) fn forget(&self, selectors: &[Selector]) -> Result<Vec<Point>> {
        match self {
            Self::Here(store) => store.forget(selectors),
            Self::There(client) => {
                let points: Vec<_> = selectors.iter().map(ToString::to_string).collect();
                let mut answer = client.ask(&Ask::post(&["api", "forget"], json!({"points": points})))?;
                let Value::Array(points) = answer["points"].take() else {
                    return Err(client.not_understood("the response lacks the field points"));
                };
                points.into_iter().map(|point| client.told(point)).collect()
            }
        }
    }

    /// The changes from one point to another.
    pub(in crate::face::cli) fn diff(&self, from: &Selector, to: &Selector) -> Result<Diff> {
        match self {
            Self::Here(store) => store.diff(from, to),
            Self::There(client) => {
                let ask = Ask::get(&["api", "points", &from.to_string(), "diff"]).with("to", Some(to));
                let mut changes = listed(client, ask, "changes").collect::<Result<Vec<Change>>>()?;
                // A service lists them in the order of its collections.
                changes.sort_by(|a, b| (&a.collection, &a.key).cmp(&(&b.collection, &b.key)));
                Ok(Diff { changes })
            }
        }
    }
}

fn with_size(client: &Client, mut point: Value) -> Result<SizedPoint> {
    let size = point.get_mut("frees").map(Value::take);
    Ok((client.told(point)?, size.map(|size| client.told(size)).transpose()?))
}

fn now_is_none() -> Error {
    Error::invalid("now is not a restore point; see hivekeep status")
}
