"""What happened: the event types, their envelope and their encoding. Pure."""
