//! House rules that no compiler checks, as a test: see `tests/tidy.rs`. Nothing else lives here.
