"""What two processes, or a process and a page, must agree on: messages, their JSON, the ring."""
