"""What a run tells about itself while it lasts and when it ends."""
