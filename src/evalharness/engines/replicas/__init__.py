"""Several engines behind one, on Ray: a router that sends what shares a prefix to the same one."""
