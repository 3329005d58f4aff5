"""The request and answer shapes that the server speaks, a module each: pure parsing and rendering, no I/O."""
