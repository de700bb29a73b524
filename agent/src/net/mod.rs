//! Links, DHCPv4, addresses, routes, DNS, clock.
