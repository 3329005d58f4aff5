"""The wires between two processes, one module each: frozen models, encode, decode; no I/O."""
