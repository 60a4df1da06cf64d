"""Evidence that stands up: keys and signed checkpoints, extracts of the log and their check, retention."""
