"""Room for carriers besides WebRTC: packets over a WebSocket or a comm. Nothing is built yet."""
