"""The projector's statements; `pieces` has what several of them share."""
