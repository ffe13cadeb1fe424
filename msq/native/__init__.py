"""Druid's native queries as dataclasses: what a plan is made of, what a report prints, what a worker receives."""
