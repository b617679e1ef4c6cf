"""Carriers besides WebRTC: pages that are reached through a stream socket.

The socket is one end of the jupyter-server extension's connection, or of a socket pair with the
kernel. What crosses it is described in `gpuview.protocol.carrier_packets` and
`gpuview.protocol.local_socket`.
"""
