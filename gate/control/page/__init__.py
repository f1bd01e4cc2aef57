"""The status page at the admin port."""
