"""Labelled traffic in virtual time: who calls as people and firms do, and who attacks, each call with its truth."""
