"""Django's own PostgreSQL backend, with a pool that takes the server's absence well."""
