"""The metadata store: Druid's tables through SQLAlchemy Core, in SQLite or PostgreSQL."""
