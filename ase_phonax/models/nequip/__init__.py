"""NequIP: settings, the network as arrays, the network as a JAX function."""
