"""What every service stands on: settings, the database, HTTP conventions, logging, metrics and health."""
