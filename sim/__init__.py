"""Simulated phones, operator trunks and traffic, for the demonstration, the tests and the benchmarks."""
