//! The C library of Talkwire.
