"""What the gate's processes say to each other: messages, and figures in shared memory."""
