"""The database: tables, the one writer, repositories by noun."""
