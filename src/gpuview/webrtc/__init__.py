"""The text formats of WebRTC: SDP, candidates, addresses, ICE URLs. Pure; no library."""
