"""WebRTC as text: SDP, candidates, addresses and ICE URLs. Pure, and without any library."""
