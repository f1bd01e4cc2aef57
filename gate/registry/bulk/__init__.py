"""Filings in bulk: CSV and NDJSON files in and out."""
