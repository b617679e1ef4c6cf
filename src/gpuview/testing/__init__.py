"""Test a notebook without a browser: a real kernel, and a viewer that hands back its frames.

Installed with gpuview as a pytest plugin; ``docs/testing.md`` shows its use. Nothing is imported
here, so that a test run that uses none of it pays nothing: `gpuview.testing.kernel` has `Kernel`,
`gpuview.testing.viewer` has `HeadlessViewer`.
"""
