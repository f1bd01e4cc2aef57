"""Run the QUIC rows and print them."""

from benchmarks.quic.command import main

raise SystemExit(main())
