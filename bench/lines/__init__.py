"""The lines of the bench, one module a group: each measures one kind of work beside its floor or ceiling."""
