//! What PID 1 does: mounts, kernel modules, consoles, child supervision, reboot.
