"""Model files: readers and writers, and what is checked on the way."""
