"""What the guard tells others of, as messages: their shapes, which there are, and how many. Pure."""
