//! The client side of the protocol: hello, order, grant, events, receipt; retry and spool.
