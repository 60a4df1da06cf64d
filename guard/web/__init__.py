"""The dashboard and the HTTP API: a process of its own that reads the log and asks the daemon over a local socket."""
