"""All SQL: tables, migrations, and queries as plain functions on a transaction."""
