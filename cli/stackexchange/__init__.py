"""`laurels import stackexchange`: a data dump becomes users, achievements and awards."""
