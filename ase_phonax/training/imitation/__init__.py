"""A small network that learns the features of a large one."""
