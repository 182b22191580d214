//! lvs-agent
