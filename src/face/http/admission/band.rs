//! The band on the page: a name and a colour, so that nobody takes one store for another.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::text::{self, read_as_string};
use crate::{Error, Result};

/// The longest name, in characters; a longer one does not fit on a small screen.
const NAME_CHARS: usize = 40;

/// The name and the colour of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::face) struct Band {
    pub(in crate::face) name: Option<BandName>,
    pub(in crate::face) colour: Option<BandColour>,
}

/// A name such as `prod`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::face) struct BandName(String);

/// Defines the colours, each with its name.
macro_rules! colours {
    ($($colour:ident = $name:literal),*) => {
        /// A colour of the band.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub(in crate::face) enum BandColour {
            $($colour,)*
        }

        impl BandColour {
            const ALL: &'static [Self] = &[$(Self::$colour,)*];

            pub(in crate::face) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$colour => $name,)*
                }
            }
        }
    };
}

colours! {
    Red = "red", Orange = "orange", Yellow = "yellow", Green = "green", Blue = "blue", Purple = "purple", Grey = "grey"
}

impl FromStr for BandName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let is_short = (1..=NAME_CHARS).contains(&name.chars().count());
        if is_short && !name.trim().is_empty() && !name.chars().any(text::is_hidden) {
            return Ok(Self(name.to_owned()));
        }
        Err(Error::invalid(format!(
            "a name has 1 to {NAME_CHARS} visible characters, such as prod: name={}",
            name.escape_debug()
        )))
    }
}

impl FromStr for BandColour {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|colour| colour.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|colour| colour.as_str()).collect();
            Error::invalid(format!("unknown colour; use one of {}: colour={}", known.join(", "), name.escape_debug()))
        })
    }
}

read_as_string!(BandName, BandColour);

impl fmt::Display for BandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BandColour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_person_cannot_read_is_refused() {
        let long = "x".repeat(NAME_CHARS + 1);
        for wrong in ["", " ", "a\nb", "a\u{202e}b", &long] {
            assert!(wrong.parse::<BandName>().is_err(), "{wrong:?}");
        }
        assert_eq!("prod <1>".parse::<BandName>().unwrap().to_string(), "prod <1>");
    }

    #[test]
    fn an_unknown_colour_is_refused_with_the_known_ones() {
        let refused = "pink".parse::<BandColour>().unwrap_err().to_string();
        assert!(refused.contains("red, orange,") && refused.ends_with("colour=pink"), "{refused}");
        for colour in BandColour::ALL {
            assert_eq!(colour.as_str().parse::<BandColour>().unwrap(), *colour);
        }
    }
}
