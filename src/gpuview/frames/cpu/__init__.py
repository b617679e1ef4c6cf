"""From tensors to a ring slot in plain torch and NumPy, on the calling thread."""
