//! Generated; placeholder.
/// Number of a server event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EventType {
    /// Not known.
    Unknown = 0,
}
impl EventType {
    /// By name.
    pub fn from_name(_: &str) -> Self {
        Self::Unknown
    }
    /// Number.
    pub const fn number(self) -> u16 {
        self as u16
    }
}
