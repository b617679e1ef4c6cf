"""What two processes or two machines must agree on: messages, SDP, ICE servers, the ring."""
