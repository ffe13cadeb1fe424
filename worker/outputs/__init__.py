"""Where the partitions of a stage's output live until they are read."""
