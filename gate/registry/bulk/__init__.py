"""Filings in bulk: CSV and NDJSON files in and out.

What makes a row acceptable by itself is in filing_row.py, what it may not contradict in chunk.py.
"""
