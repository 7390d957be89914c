//! Headers in whatever serde writes: a list of pairs, because names repeat and have an order.

use std::{borrow::Cow, fmt};

use ::serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use super::Headers;
use crate::propagation::Header as W3c;

/// As a list of pairs.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

/// From a list of pairs.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Pairs)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pairs of a name and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Headers, A::Error> {
        let mut headers = Headers::new();
        while let Some((name, value)) = pairs.next_element::<(Cow<'de, str>, String)>()? {
            match W3c::of(&name).map(W3c::name).filter(|own| *own == name) {
                Some(own) => headers.append(own, value),
                None => headers.append(name.into_owned(), value),
            }
        }
        Ok(headers)
    }
}
