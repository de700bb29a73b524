//! Raw command line and files -> one validated `Config`.
