"""The notice page: where an unfiled HTTP visitor lands."""
