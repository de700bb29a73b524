//! Virtual machine tests: firmware, kernel, agent, disks and the installed system.

mod agent_killed;
mod bios;
mod clock;
mod cuts;
mod faults;
mod hardware;
mod late;
mod layouts;
mod main_job;
mod medium;
mod mirror;
mod multipath;
mod racks;
mod raid;
mod redeploy;
mod storage;
mod swapped;
mod trust;
mod volumes;
