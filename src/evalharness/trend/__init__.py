"""The open-weight capability trend: one index of all models, its frontier, and who is behind whom by how much."""
