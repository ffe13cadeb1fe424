"""Frames: Arrow record batches with a row signature, their keys, partitions and statistics."""
