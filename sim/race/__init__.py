"""`python -m sim race`: what a call costs through the guard, beside other proxies that do the same work."""
