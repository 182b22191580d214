//! Names of nodes, VIP groups, services, real servers, zones, remote identities and check scripts.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, marker::PhantomData, str::FromStr, sync::Arc};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 63 of a-z, 0-9, `-`, `_` and `.`, starting with a letter or digit")]
pub struct BadName(pub String);

fn check(text: &str) -> Result<(), BadName> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts_well && text.len() <= 63 && text.chars().all(legal) {
        Ok(())
    } else {
        Err(BadName(text.chars().take(80).collect()))
    }
}

/// Reads a name without a copy of its text in between: lease messages name their groups.
struct NameVisitor<N>(PhantomData<N>);

impl<N: FromStr<Err = BadName>> de::Visitor<'_> for NameVisitor<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<N, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                check(&text).map(|()| Self(text.into()))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.as_str().to_owned()
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(NameVisitor(PhantomData))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

name!(
    /// A node of the cluster, unique in it.
    NodeName
);
name!(
    /// A VIP group: addresses that always move together.
    VipName
);
name!(
    /// A virtual service.
    ServiceName
);
name!(
    /// A real server, unique within its service.
    ServerName
);

name!(
    /// A zone: a room, a rack, a power feed, whose nodes fail together. Voters are spread over zones.
    ZoneName
);
name!(
    /// A remote administrator or monitoring system, unique in the cluster.
    IdentityName
);
name!(
    /// A track: one thing that a node watches on itself, unique on that node.
    TrackName
);
name!(
    /// A script that checks real servers. Each node has its own file of that name, in its own directory. A name has no `/` in it and does not begin
    /// with a dot.
    ScriptName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_bounded() {
        assert!("web-1.a_b".parse::<NodeName>().is_ok());
        for bad in ["", "-a", "A", "a b", "a/b", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?} was taken");
        }
    }
}
