//! The voter side, rule by rule.
