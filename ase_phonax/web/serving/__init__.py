"""A local application that runs studies for a browser on the same machine."""
