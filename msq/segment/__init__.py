"""Druid V9 segments: their identity, schema, writer and reader.

Nothing is imported here, so that who needs only the identity of a segment does not load the writer.
"""
