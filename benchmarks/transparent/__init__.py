"""In front of hosts: what transparent listeners and the client's address cost.

`python -m benchmarks.transparent`: the gate as a transparent proxy, beside itself when it is
dialled, and beside HAProxy (`source … usesrc clientip`) and nginx (`proxy_bind $remote_addr
transparent`). Each server has three networks of its own: a client's, its own, and the hosts'.
"""
