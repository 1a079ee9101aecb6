"""What decisions need to know: tables that change only in the transaction that appends the events they follow from."""
