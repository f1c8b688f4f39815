//! Samples: formats, files, rates, tones and speech numbers. Knows no protocol and no socket.

pub mod format;
