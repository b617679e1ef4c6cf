"""From CUDA tensors to a slot of the ring, without waiting: the kernels, and who launches them."""
