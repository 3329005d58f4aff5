"""A real Kubernetes node on a bare Linux machine, out of Go modules and a few packages of the distribution."""
