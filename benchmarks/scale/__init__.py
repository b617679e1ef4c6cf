"""What a viewer, a rank of another machine and a relayed viewer cost, each further one."""
