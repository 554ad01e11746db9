"""The open-weight capability trend: one index of all models, its frontier, and the lag between groups of models."""
