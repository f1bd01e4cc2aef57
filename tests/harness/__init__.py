"""What the end-to-end suites share: the running gate, recording upstreams, raw clients.

Everything here uses blocking sockets with deadlines and plain threads, so that a test
reads in the order in which bytes move.
"""
