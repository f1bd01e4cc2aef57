"""`python -m benchmarks.transparent`."""

from benchmarks.transparent.command import main

main()
