//! The stage sequence of an agent, and nothing else.
