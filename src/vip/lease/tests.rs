//! The holder side, rule by rule.
