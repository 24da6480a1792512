"""What depends on the machine: precision, threads, memory, and faster arithmetic with equal results."""
