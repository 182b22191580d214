//! Certificates of both origins, and bytes that are none.
