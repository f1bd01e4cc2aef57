"""QUIC beside other programs: refused, judged and opened, relayed (`python -m benchmarks.quic`).

sing-box judges by the name, as the gate does; nginx's stream module and Envoy's udp_proxy only
relay, so that they are there for the rows that open and relay, as a measure of what a session and
a datagram cost. Every server has one core, load and upstream have the other one.
"""
