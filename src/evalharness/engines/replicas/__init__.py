"""Several engines behind one, on Ray: a router that sends requests with a common prefix to the same engine."""
