"""Runs the service; the Hub starts it."""

from __future__ import annotations

from gpuview.hub.app import GPUViewHub

GPUViewHub.launch_instance()
