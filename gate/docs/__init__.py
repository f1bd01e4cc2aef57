"""Operators' pages, and the program that writes those which come from the code."""
