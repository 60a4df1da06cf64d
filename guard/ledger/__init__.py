"""What was decided, as a record that can be found, proved and billed against."""
