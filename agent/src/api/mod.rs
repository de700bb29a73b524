//! The agent's own HTTP server: the door through which an orchestrator calls in.
