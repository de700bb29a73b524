//! Pure: (Inventory, Order) -> Plan or a typed refusal. No I/O, no clock.
