"""QUIC on UDP: judged by the client's first packets, refused, or relayed unopened."""
