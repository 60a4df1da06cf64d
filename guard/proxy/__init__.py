"""The sans-I/O SIP proxy: RFC 3261 sections 16 to 18, call attempts, and caller masking. Knows no rules."""
