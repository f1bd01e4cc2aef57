"""The gate beside HAProxy, nginx and Envoy: one method, one machine, one run.

The servers sit on core 0, the load and the upstreams on core 1. Each workload runs in rounds,
the servers in turn within a round, and every round is checked by counters before its figure
counts. The figure is CPU time (user and system, all processes of the server) per unit of work.
`benchmarks/README.md` tells how to run it and how to read it.
"""
