"""What trainer and server must do identically: find files, open model folders, turn logits into probabilities."""
