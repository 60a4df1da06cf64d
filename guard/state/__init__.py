"""Counters behind one contract: windows and gauges that a decision touches."""
