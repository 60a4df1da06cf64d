"""Rules, one idea a file: each judges one call attempt and speaks as findings."""
