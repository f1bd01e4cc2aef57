"""Gate: an edge enforcement proxy for ICP filings."""

__version__ = "0.1.0"
