"""What showing a tensor costs: the usual way against gpuview, on the CPU and on CUDA."""
