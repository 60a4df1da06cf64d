"""The `guard` command: each file one group of commands that parses, calls the application, and prints."""
