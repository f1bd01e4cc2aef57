"""备案控制台: the registry's pages for people, clerks and owners."""
