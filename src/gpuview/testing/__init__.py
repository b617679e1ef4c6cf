"""Test a notebook without a browser: a real kernel, and a viewer that hands back its frames.

Installed with gpuview as a pytest plugin; ``docs/testing.md`` shows its use. `Kernel` is in
`gpuview.testing.kernel`, `HeadlessViewer` in `gpuview.testing.viewer`. Nothing is imported here, so
that it costs nothing in a test run that does not use it.
"""
