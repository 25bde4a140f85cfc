"""Both remote systems as real HTTP services, true to their contracts: the embedded default and the test bench."""
