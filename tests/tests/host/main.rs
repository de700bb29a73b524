//! Tests without virtual machines: controller, agent and the agent's program, on this host.

mod agent_killed;
mod agent_status;
mod api;
mod busy_disk;
mod ironic;
mod network;
mod protocol;
mod script_messages;
mod static_agent;
mod support;
