//! Tests of `leases` and `slot`.
