"""Scores detection against labelled traffic: what is found, how soon, what it cost, and what was wrongly stopped."""
