"""Policies: what people write in TOML, checked and compiled into what the engine runs."""
