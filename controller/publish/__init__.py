"""From partitions to published segments: what is visible, what ids new segments get, and the one transaction."""
