"""Shuffles: how the rows a processor writes become the partitions of its stage."""
