//! The data directory and files made by others.
