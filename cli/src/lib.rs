//! The talkwire command.
