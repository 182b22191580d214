//! A CA against what reads and checks its certificates.
