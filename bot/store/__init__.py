"""Requests, sign-ins and the audit log, in SQLite or PostgreSQL over SQLAlchemy Core."""
