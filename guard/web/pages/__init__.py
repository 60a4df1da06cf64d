"""The dashboard: pages rendered on the server, in French and English, that work without a script."""
