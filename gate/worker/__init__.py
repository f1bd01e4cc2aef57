"""The worker process: it runs the data plane, and tells the control process what it did."""
