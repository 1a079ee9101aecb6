"""What does the same work in other ways: a service that counts on each request, and an event-sourcing library."""
