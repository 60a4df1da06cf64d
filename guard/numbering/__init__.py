"""Telephone numbers: any dialled or presented form to E.164, and the French numbering plan at a date."""
