"""What more than one service needs: the domain, the events, and the runtime."""
