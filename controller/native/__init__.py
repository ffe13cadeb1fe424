"""Druid's native queries answered: their JSON read, run by the same planner and controller as SQL, and printed."""
