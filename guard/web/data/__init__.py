"""What the pages and the HTTP API show, as typed objects read from the log, its books and the configuration.

Each function takes a reader (guard/web/data/pool.py lends one and keeps the loop free) and returns frozen structs that
both render: every page has its JSON. `full` tells that whoever asks may see numbers in full; without it they are
masked.
"""
