"""Where beats go besides a WebRTC peer."""
