"""Where records are kept: one contract, SQLite behind it."""
