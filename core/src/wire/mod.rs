//! The Realtime vocabulary as Rust types. Knows no socket and no vendor.
//!
//! | file | holds |
//! |---|---|
//! | [`envelope`] | type, ids and payload slices of a frame in one pass, without a tree |
//! | [`server`] / [`client`] | the events of both directions; an unknown one keeps name and fields |
//! | [`session`] | the session object as a patchable map with typed views |
//! | [`item`] | conversation items, responses, usage |
//! | [`audio`] | base64 between a frame and a PCM buffer |
//! | [`ids`] | identifiers from a seed |
//! | [`names`] | numbers and names of all events, generated |
//!
//! Decoding never fails for a field: what is missing, null or of another type reads as the
//! field's default, and the raw frame stays reachable.

pub mod audio;
pub mod client;
pub mod envelope;
pub mod ids;
pub mod item;
pub mod names;
pub mod server;
pub mod session;

pub use client::ClientEvent;
pub use envelope::Envelope;
pub use ids::Ids;
pub use item::{Item, Part, Response, Usage};
pub use names::EventType;
pub use server::ServerEvent;
pub use session::Session;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// JSON object.
pub type Map = serde_json::Map<String, Value>;

/// Reads any JSON value into `T`, or `T`'s default where it does not fit.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads a map into `T`; the types of this module accept every map.
pub(crate) fn read<T: DeserializeOwned + Default>(map: Map) -> T {
    serde_json::from_value(Value::Object(map)).unwrap_or_default()
}

/// Declares a wire object all of whose fields are lenient.
macro_rules! wire_struct {
    ($( $(#[$meta:meta])* pub struct $name:ident { $( $(#[$fmeta:meta])* pub $field:ident: $ty:ty, )* } )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $( $(#[$fmeta])* #[serde(deserialize_with = "crate::wire::lenient")] pub $field: $ty, )*
        }
    )+};
}
pub(crate) use wire_struct;

/// Declares one direction's events: variant, body, wire name.
macro_rules! event_enum {
    (
        $(#[$meta:meta])* pub enum $enum:ident {
            $( $(#[$vmeta:meta])* $variant:ident($body:ty) = $wire:literal, )+
            ; $(#[$ameta:meta])* $avariant:ident($abody:ty) = $awire:literal,
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $enum {
            $( $(#[$vmeta])* $variant($body), )+
            $(#[$ameta])* $avariant($abody),
            /// Anything newer than this library: its name and all its fields.
            Other {
                /// The `type` of the event.
                name: String,
                /// Every field but `type` and `event_id`.
                fields: crate::wire::Map,
            },
        }

        impl $enum {
            /// The canonical name (`type` on the wire).
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$variant(_) => $wire, )+
                    Self::$avariant(_) => $awire,
                    Self::Other { name, .. } => name,
                }
            }

            /// Reads the fields of an event whose canonical name is known. Audio events are read
            /// from their [`Envelope`](crate::wire::Envelope) instead.
            pub fn from_fields(name: &str, fields: crate::wire::Map) -> Self {
                match name {
                    $( $wire => Self::$variant(crate::wire::read(fields)), )+
                    _ => Self::Other { name: name.to_owned(), fields },
                }
            }

            fn body(&self) -> Option<serde_json::Value> {
                match self {
                    $( Self::$variant(body) => serde_json::to_value(body).ok(), )+
                    Self::$avariant(_) => None,
                    Self::Other { fields, .. } => Some(serde_json::Value::Object(fields.clone())),
                }
            }
        }
    };
}
pub(crate) use event_enum;
