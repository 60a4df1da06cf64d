"""What can be wrong with a log's file: every error names the file."""

from __future__ import annotations


class StoreError(Exception):
    """A log that cannot be opened, read or written; the message names the file and the reason."""


class StoreDamaged(StoreError):
    """The file of a log is no whole database any more."""


class StoreFull(StoreError):
    """The queue of entries that wait for the disk has reached its bound: this entry is not kept."""


class StoreLocked(StoreError):
    """Another guard is writing this log."""
