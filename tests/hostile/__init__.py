"""What attackers and broken clients send, over sockets."""
